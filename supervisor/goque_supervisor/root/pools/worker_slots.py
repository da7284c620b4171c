"""When a pool group may start a worker in each of its slots, with the time as an argument."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from goque_supervisor.root.restart_policy import Backoff
from goque_supervisor.root.tree import PoolGroupSpec


@dataclass
class WorkerSlots:
    """The slots of a group, numbered from 0; each worker fills one.

    Attributes:
        wanted: how many workers run, by whether they run `async def` handlers.
    """

    wanted: dict[bool, int] = field(default_factory=dict)
    _not_before: dict[int, float] = field(default_factory=dict)
    _backoffs: dict[int, Backoff] = field(default_factory=dict)

    def want(self, spec: PoolGroupSpec, plain: int, asynchronous: int) -> None:
        """Run so many workers of each kind from now on, within the bounds of the pool."""
        for is_async, number in ((False, plain), (True, asynchronous)):
            fewest, most = spec.fewest(is_async=is_async), len(spec.slots(is_async=is_async))
            self.wanted[is_async] = max(fewest, min(number, most))

    def to_fill(
        self, spec: PoolGroupSpec, taken: Collection[int], now: float, *, canary: bool
    ) -> Iterator[int]:
        """Yield the slots to start a worker in now.

        Args:
            spec: the pool.
            taken: the slots that have a worker.
            now: a CLOCK_MONOTONIC second.
            canary: whether the workers cannot boot, so that one alone is tried.
        """
        empty: list[int] = []
        for is_async, wanted in self.wanted.items():
            slots = spec.slots(is_async=is_async)
            missing = wanted - sum(slot in taken for slot in slots)
            empty += [slot for slot in slots if slot not in taken][: max(0, missing)]
        if canary:
            empty = [] if taken else empty[:1]
        return (slot for slot in empty if now >= self._not_before.get(slot, 0.0))

    def put_off(self, slot: int, until: float) -> None:
        """Leave a slot empty until this time."""
        self._not_before[slot] = until

    def after_idle_exit(self, slot: int, lived: float) -> float:
        """Return the seconds to wait after a worker died while it ran nothing, given how long it lived."""
        return self._backoffs.setdefault(slot, Backoff()).after_exit(lived)

    def allow_all(self) -> None:
        """Let every slot be filled at once."""
        self._not_before.clear()
