"""goque in a Django project: put "goque.contrib.django" into INSTALLED_APPS, and run `manage.py migrate`.

`registry` is the project's registry; register handlers on it in the `tasks` modules of the project's apps. `queue`
enqueues on Django's own connection, and so in the transaction of `atomic`.
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
    """Open the queue at its first use, because it needs the project's settings."""
    if name == "queue":
        return registry.queue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
