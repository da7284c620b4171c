"""goque in a Django project: put "goque.contrib.django" into INSTALLED_APPS, and run `manage.py migrate`.

`registry` is the project's registry; handlers are registered on it in the `tasks` modules of its apps. `queue` enqueues
on Django's own connection, and so in the transaction that `atomic` has open there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goque.contrib.django.projects import DjangoRegistry

if TYPE_CHECKING:
    from goque.queue.manager import TaskQueueManager

    queue: TaskQueueManager

__all__ = ["DjangoRegistry", "queue", "registry"]

registry: Final = DjangoRegistry()


def __getattr__(name: str) -> Any:
    """Open the queue when it is first asked for: it needs the project's settings."""
    if name == "queue":
        return registry.queue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
