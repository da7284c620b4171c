"""goque as an app of a Django project."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules

from goque.before_fork import close_before_fork
from goque.contrib.django.health import close_connections, opened


class GoqueConfig(AppConfig):
    """Imports the `tasks` modules of the project's apps, which register their handlers."""

    name = "goque.contrib.django"
    label = "goque"
    verbose_name = "goque"

    def ready(self) -> None:
        """Register handlers and checks, after all models are loaded."""
        from goque.contrib.django import checks, registry  # noqa: F401, PLC0415 - checks register themselves
        from goque.contrib.django.databases import setting  # noqa: PLC0415 - the settings are loaded now

        connection_created.connect(opened.note)
        close_before_fork(close_connections)

        setting("DATABASE")
        autodiscover_modules("tasks")
        if any(str(one.get("BACKEND", "")).startswith(self.name) for one in _task_backends()):
            from goque.contrib.django.backend import register_backends  # noqa: PLC0415 - it needs the framework

            register_backends()


def _task_backends() -> list[dict[str, Any]]:
    return list(getattr(settings, "TASKS", {}).values())
