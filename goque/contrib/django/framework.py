"""Django's tasks framework: `django.tasks` of Django 6, or the package django-tasks on earlier versions."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django import VERSION

FRAMEWORK: Final = "django.tasks" if VERSION >= (6, 0) else "django_tasks"

base: Final = import_module(f"{FRAMEWORK}.base")
exceptions: Final = import_module(f"{FRAMEWORK}.exceptions")
signals: Final = import_module(f"{FRAMEWORK}.signals")
BaseTaskBackend: Any = import_module(f"{FRAMEWORK}.backends.base").BaseTaskBackend
normalize_json: Any = import_module(
    "django.utils.json" if VERSION >= (6, 0) else f"{FRAMEWORK}.utils"
).normalize_json
"""Raises TypeError for a value that JSON does not have."""
