"""When each part of the fetcher's loop is due next. Pure decisions: the caller passes the time."""

from __future__ import annotations

from typing import Final, NamedTuple

BEAT_PERIOD: Final = 1.0
INSPECT_PERIOD: Final = 0.05
RELAY_PERIOD: Final = 0.25
CHANGES_PERIOD: Final = 0.2
"""Seconds from a change in the table until the fetcher asks whether it concerns a claimed task."""

SETTLE_PERIOD: Final = 0.04
PLACES_PERIOD: Final = 0.005
MIN_SETTLE_BATCH: Final = 500
"""From this number on, outcomes are written at once, even if the last write was a moment ago."""


class Load(NamedTuple):
    """The work of the fetcher on which its next times depend.

    Attributes:
        ended: how many outcomes are to be written.
        has_questions: whether handlers wait for answers about their steps.
        lacks_places: whether tasks wait for places that the tasks which have ended may hold.
        has_idle: whether a worker has no job.
        wants_more: whether it may claim, and its workers want tasks.
        is_busy: whether workers have jobs that they have not answered.
        waiting: how many tasks wait for a worker.
        draining: whether the tree is stopping.
        database_at: before this time no call is made, since the last one failed.
        poll_in: seconds until the watcher of the table wants to be asked again, None for never.
    """

    ended: int = 0
    has_questions: bool = False
    lacks_places: bool = False
    has_idle: bool = False
    wants_more: bool = False
    is_busy: bool = False
    waiting: int = 0
    draining: bool = False
    database_at: float = 0.0
    poll_in: float | None = None


class Schedule:
    """The next times of one fetcher: CLOCK_MONOTONIC seconds, 0 for at once.

    Attributes:
        claim_at: when to claim, if workers want tasks.
        inspect_at: when to read the black boxes of busy workers.
        changes_at: when to ask which claimed tasks other processes have changed.
        beat_at: when to tell the root that the loop runs.
        relay_at: when to forward what workers wrote to their standard error.
        reconcile_at: when to compare the claims in the table with the tasks in flight.
        settled_at: when outcomes were written last.
    """

    __slots__ = (
        "beat_at",
        "changes_at",
        "claim_at",
        "inspect_at",
        "reconcile_at",
        "relay_at",
        "settled_at",
    )

    def __init__(self) -> None:
        self.claim_at = self.inspect_at = self.changes_at = self.beat_at = self.relay_at = 0.0
        self.settled_at = self.reconcile_at = 0.0

    def pause(self, now: float, load: Load) -> float:
        """Return the seconds until something is due that no descriptor announces."""
        at = self.beat_at
        if load.ended:
            at = min(at, max(self.settle_at(load), load.database_at))
        if load.has_questions:
            at = min(at, load.database_at)
        if load.wants_more:
            at = min(at, max(self.claim_at, load.database_at))
        if load.is_busy or load.waiting:
            at = min(at, self.inspect_at)
        if load.poll_in is not None:
            at = min(at, now + load.poll_in)
        return max(0.0, at - now)

    def settle_at(self, load: Load) -> float:
        """Return when to write outcomes: at once, but in a stream of results at most every SETTLE_PERIOD.

        Where other tasks wait for the places of those that have ended, it is sooner, and at once for an idle worker.
        """
        if load.ended >= MIN_SETTLE_BATCH or load.draining or not load.is_busy:
            return 0.0
        if load.lacks_places:
            return 0.0 if load.has_idle else self.settled_at + PLACES_PERIOD
        return self.settled_at + SETTLE_PERIOD

    def claim_now(self) -> None:
        """Claim at the next turn."""
        self.claim_at = 0.0

    def claim_within(self, now: float, seconds: float) -> None:
        """Claim after this number of seconds, or earlier if that is planned."""
        self.claim_at = min(self.claim_at, now + seconds)

    def claim_after(self, now: float, seconds: float) -> None:
        """Claim after this number of seconds and not earlier, because there is nothing to claim now."""
        self.claim_at = now + seconds

    def inspect_now(self) -> None:
        """Inspect the workers at the next turn."""
        self.inspect_at = 0.0

    def inspect_within(self, now: float, seconds: float) -> None:
        """Inspect the workers after this number of seconds, or earlier if that is planned."""
        self.inspect_at = min(self.inspect_at, now + seconds)

    def is_inspection_due(self, now: float) -> bool:
        """Return whether to inspect the workers; if so, the next inspection is planned."""
        if now < self.inspect_at:
            return False
        self.inspect_at = now + INSPECT_PERIOD
        return True

    def table_changed(self, now: float) -> None:
        """Ask soon which claimed tasks other processes have changed."""
        self.changes_at = min(self.changes_at, now + CHANGES_PERIOD)

    def changes_asked(self, now: float, period: float) -> None:
        """Ask again after this number of seconds, unless the table changes earlier."""
        self.changes_at = now + period

    def reconcile_now(self) -> None:
        """Compare the claims in the table with the tasks in flight at the next turn."""
        self.reconcile_at = 0.0

    def reconcile_within(self, now: float, seconds: float) -> None:
        """Compare them after this number of seconds, or earlier if that is planned."""
        self.reconcile_at = min(self.reconcile_at, now + seconds)

    def is_relay_due(self, now: float) -> bool:
        """Return whether to forward standard error; if so, the next time is planned."""
        if now < self.relay_at:
            return False
        self.relay_at = now + RELAY_PERIOD
        return True

    def is_beat_due(self, now: float) -> bool:
        """Return whether to send a beat; if so, the next one is planned."""
        if now < self.beat_at:
            return False
        self.beat_at = now + BEAT_PERIOD
        return True
