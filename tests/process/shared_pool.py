"""A registry that puts all types of a test's app into one pool, which has as many workers as one of them asked for."""

from __future__ import annotations

from typing import Any

from goque import Registry
from goque.pools.options import PoolKeywords

MOST = ("workers", "min_workers", "async_workers", "concurrency")


class SharedPool(Registry):
    """Collects the options of processes that the types would have had alone. `share` makes the pool of them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shared: dict[str, Any] = {}

    def add_processor(self, task_type: str, processor: Any, **options: Any) -> Any:
        """Add a processor to the pool. It has the most workers that one of them asks for."""
        own = {name: options.pop(name) for name in PoolKeywords.__annotations__ if name in options}
        own.setdefault("min_workers", own.get("workers", 0))
        for name, value in own.items():
            if value is None:
                continue
            known = self.shared.get(name)
            self.shared[name] = value if known is None else (max if name in MOST else min)(known, value)
        return super().add_processor(task_type, processor, **options)

    def share(self) -> None:
        """Declare the pool."""
        self.shared["async_workers"] = self.shared.get("workers", 1)
        if not self.shared.get("min_workers"):
            self.shared.pop("min_workers", None)
        self.pool("default", **self.shared)


def share(registry: Any) -> None:
    """Declare the pool of an app's registry, if the app has one."""
    if isinstance(registry, SharedPool):
        registry.share()
