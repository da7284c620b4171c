"""The check that goque's app is installed. The backend makes it, because without the app nothing else of goque runs."""

from __future__ import annotations

from typing import Any, Final

from django import VERSION
from django.apps import apps
from django.core.checks import CheckMessage, Error, register

APP: Final = "goque.contrib.django"


def missing_app() -> list[CheckMessage]:
    """Return an error if TASKS names goque's backend, and INSTALLED_APPS lacks its app."""
    if apps.is_installed(APP):
        return []
    return [
        Error(
            f"TASKS uses goque's backend, but {APP!r} is not in INSTALLED_APPS: nothing would run the tasks",
            hint=f"add {APP!r} to INSTALLED_APPS, and run `python manage.py migrate`",
            id="goque.E003",
        )
    ]


@register
def check_app(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check it where the framework does not check its backends: before Django 6, if its app is not installed."""
    del app_configs, kwargs
    return [] if VERSION >= (6, 0) or apps.is_installed("django_tasks") else missing_app()
