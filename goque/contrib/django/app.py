"""The project as an app of the command line: `goque supervise goque.contrib.django.app:registry`.

DJANGO_SETTINGS_MODULE names the project; `manage.py goque supervise` sets it.
"""

from __future__ import annotations

import django

django.setup()

from goque.contrib.django import registry  # noqa: E402 - the line above registers its handlers
from goque.contrib.django.databases import database_url  # noqa: E402 - the same

__all__ = ["registry"]

registry.database_url = database_url()
