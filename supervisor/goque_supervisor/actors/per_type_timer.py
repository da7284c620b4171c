"""Decide when the cleaner and the healer work on each task type, by the periods of its processor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

PERIOD: Final = 300.0
TIMEOUT: Final = 30.0
POLICIES_PERIOD: Final = 15.0
"""Seconds after which policies are read again. A newly published type is due at once."""


class PerTypeTimer:
    """The next time of each type.

    A type that no processor of this app runs has the default period and timeout.

    Args:
        role: the actor whose options apply.
        specs: the processors of the app, as plain data.
        unpublished_period: seconds between two rounds over the types without a published policy.
        clock: the seconds of a monotonic clock.
    """

    def __init__(
        self,
        role: Literal["cleaner", "healer"],
        specs: Iterable[dict[str, Any]],
        clock: Callable[[], float] = time.monotonic,
        *,
        unpublished_period: float = PERIOD,
    ) -> None:
        options = {spec["type"]: spec["options"] for spec in specs}
        self._periods = {name: float(each.get(f"{role}_period", PERIOD)) for name, each in options.items()}
        self._timeouts = {name: float(each.get(f"{role}_timeout", TIMEOUT)) for name, each in options.items()}
        self._unpublished_period = unpublished_period
        self._clock = clock
        self._next: dict[str | None, float] = {}

    def due(self, types: Iterable[str | None]) -> list[str | None]:
        """Return which of these types are due now; None stands for all types without a published policy."""
        now = self._clock()
        wanted = list(types)
        self._next = {each: self._next.get(each, now) for each in wanted}
        return [each for each in wanted if self._next[each] <= now]

    def begin(self, task_type: str | None) -> float:
        """Begin with a type. Returns the time on the clock at which to stop."""
        now = self._clock()
        period = self._unpublished_period if task_type is None else self._periods.get(task_type, PERIOD)
        self._next[task_type] = now + period
        return now + self._timeouts.get(task_type or "", TIMEOUT)

    def pause(self) -> float:
        """Return the seconds until the next type is due, or until policies must be read again."""
        left = min(self._next.values(), default=math.inf) - self._clock()
        return min(max(0.0, left), POLICIES_PERIOD)
