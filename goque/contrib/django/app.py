"""The project as an app of the command line: `goque supervise goque.contrib.django.app:registry`.

DJANGO_SETTINGS_MODULE says which project; `manage.py goque supervise` sees to that.
"""

from __future__ import annotations

import django

django.setup()

from goque.contrib.django import registry  # noqa: E402 - its handlers are registered by the line above
from goque.contrib.django.databases import database_url  # noqa: E402 - the same

__all__ = ["registry"]

registry.database_url = database_url()
