"""What a fetcher counts for the monitor: every end of a run passes here once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from goque.outcome import Change, Outcome, OutcomeKind

_NO_RUN = frozenset({OutcomeKind.UNSTARTED, OutcomeKind.INTERRUPTED})


class Tally:
    """Counters since this fetcher started; plain numbers, so that any process can sum them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = False

    def count(self, name: str, amount: int = 1) -> None:
        """Count something that happened."""
        if amount:
            self._counts[name] += amount
            self._changed = True

    def settled(self, change: Change, outcome: Outcome, *, written: bool) -> None:
        """Count the end of a task's run, and how long it took."""
        self._changed = True
        if not written:
            self._counts["stale_writes"] += 1
        elif outcome.kind not in _NO_RUN:
            self._counts[f"processed:{change.status}"] += 1
            self._counts["runs"] += 1
            self._counts["decode_errors"] += outcome.undecodable
            self._counts["run_microseconds"] += int(outcome.duration * 1e6)

    def changes(self) -> dict[str, Any] | None:
        """Return all counters if one has risen since the last call, else None."""
        if not self._changed:
            return None
        self._changed = False
        return dict(self._counts)
