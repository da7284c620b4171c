"""When a pool group may start a worker in each of its slots, with the time as an argument."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from goque_supervisor.root.restart_policy import Backoff


@dataclass
class WorkerSlots:
    """The slots of a group, numbered from 0; each worker fills one."""

    _not_before: dict[int, float] = field(default_factory=dict)
    _backoffs: dict[int, Backoff] = field(default_factory=dict)

    def to_fill(self, wanted: int, taken: Collection[int], now: float, *, canary: bool) -> list[int]:
        """Return the slots to start a worker in now.

        Args:
            wanted: how many workers the group runs.
            taken: the slots that have a worker.
            now: a CLOCK_MONOTONIC second.
            canary: whether the workers cannot boot, so that one alone is tried.
        """
        empty = [slot for slot in range(wanted) if slot not in taken]
        if canary:
            empty = [] if taken else empty[:1]
        return [slot for slot in empty if now >= self._not_before.get(slot, 0.0)]

    def put_off(self, slot: int, until: float) -> None:
        """Leave a slot empty until this time."""
        self._not_before[slot] = until

    def after_idle_exit(self, slot: int, lived: float) -> float:
        """Return the seconds to wait after a worker died while it ran nothing, given how long it lived."""
        return self._backoffs.setdefault(slot, Backoff()).after_exit(lived)

    def allow_all(self) -> None:
        """Let every slot be filled at once."""
        self._not_before.clear()
