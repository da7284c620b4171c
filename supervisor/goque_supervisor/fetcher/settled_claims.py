"""Remember recently settled claims, to detect that the database has lost these commits. No I/O here."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import chain, islice
from typing import Final

from goque.task_row import TaskRow, Token

MAX_REMEMBERED: Final = 10_000
MAX_AGE: Final = 60.0
SAMPLE: Final = 3


class SettledClaims:
    """The newest claims whose settlement the database has acknowledged.

    Args:
        rows_stay: whether the table keeps the rows of finished tasks for longer than `MAX_AGE`.
    """

    def __init__(self, *, rows_stay: bool) -> None:
        self._rows_stay = rows_stay
        self._batches: deque[tuple[float, list[Token]]] = deque()
        self._number = 0

    def add(self, tokens: list[Token], now: float) -> None:
        """Remember claims as settled, and forget the oldest."""
        if not tokens:
            return
        self._batches.append((now, tokens))
        self._number += len(tokens)
        while self._number - len(self._batches[0][1]) >= MAX_REMEMBERED:
            self._number -= len(self._batches.popleft()[1])

    def clear(self) -> None:
        """Forget all claims, after a loss was reported or the node has taken a new name."""
        self._batches.clear()
        self._number = 0

    def sample(self, now: float) -> list[Token]:
        """Return the newest claims if they are recent, because a failover loses the newest commits."""
        recent = (reversed(tokens) for at, tokens in reversed(self._batches) if now - at < MAX_AGE)
        return list(islice(chain.from_iterable(recent), SAMPLE))

    def undone(self, unheld: Iterable[Token]) -> str:
        """Describe a settled claim that the table shows as held; return an empty text if there is none."""
        settled = {token for _at, tokens in self._batches for token in tokens}
        token = next((token for token in unheld if token in settled), None)
        return "" if token is None else f"{_end_of(token)}, but the table shows it as claimed"

    def judge(self, sample: Collection[Token], rows: Collection[TaskRow], *, after_outage: bool) -> str:
        """Describe a settled claim that the table has lost; return an empty text if there is none.

        A missing row counts only after an outage. At other times, somebody may have deleted it.

        Args:
            sample: settled claims.
            rows: the rows of their tasks now.
            after_outage: whether the database was unreachable since the last call.
        """
        by_id = {row.id: row for row in rows}
        for token in sample:
            row = by_id.get(token.task_id)
            if row is None and self._rows_stay and after_outage:
                return f"{_end_of(token)}, but the task is gone (unless somebody has deleted it)"
            if row is not None and row.claims < token.claims:
                return f"{_end_of(token)}, but the table has {row.claims} claims"
        return ""


def _end_of(token: Token) -> str:
    return f"the end of claim {token.claims} of task {token.task_id} was acknowledged"
