"""How long a run may stand still: without the end of a step, and without progress."""

from __future__ import annotations

from goque.options import ProcessorOptions


class Stall:
    """The next time at which a run counts as stalled, in CLOCK_MONOTONIC seconds.

    Args:
        period: the `stall_timeout` of its type.
        deadline: when its `timeout` is over.
        options: the options of its type.
    """

    __slots__ = ("at", "deadline", "grace", "period")

    def __init__(self, period: float, deadline: float, options: ProcessorOptions) -> None:
        self.period, self.deadline, self.grace = period, deadline, options.timeout_grace
        self.at = deadline - options.timeout + period

    @property
    def due(self) -> float:
        """When TaskTimeout is raised in the handler."""
        return min(self.at, self.deadline)

    @property
    def kill_at(self) -> float:
        """When its process is killed."""
        return self.due + self.grace
