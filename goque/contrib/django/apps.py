"""goque as an app of a Django project."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules, import_string

from goque.contrib.django.connections import close_connections, opened
from goque.storage.before_fork import close_before_fork


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
        if _uses_backend():
            from goque.contrib.django.backend import register_backends  # noqa: PLC0415 - it needs the framework

            register_backends()


def _uses_backend() -> bool:
    """Return whether a backend in TASKS is goque's, or a subclass of it."""
    paths = [str(one.get("BACKEND", "")) for one in getattr(settings, "TASKS", {}).values()]
    return any(_is_goques(path) for path in paths)


def _is_goques(path: str) -> bool:
    if path.startswith(f"{GoqueConfig.name}."):
        return True
    try:
        kinds = import_string(path).__mro__
    except (ImportError, AttributeError):
        return False  # Django's own error says it better, at the first use of the backend
    return any(kind.__module__ == f"{GoqueConfig.name}.backend" for kind in kinds)
