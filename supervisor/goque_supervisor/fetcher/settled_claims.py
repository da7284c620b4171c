"""Remembers which claims were settled lately, so that a database that has lost these commits is noticed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from goque.task import TaskRow, Token

MAX_REMEMBERED: Final = 10_000
MAX_AGE: Final = 60.0
SAMPLE: Final = 3


class SettledClaims:
    """The newest claims whose end the database has acknowledged.

    Args:
        rows_stay: whether the rows of finished tasks are kept for longer than a claim is remembered here.
    """

    def __init__(self, *, rows_stay: bool) -> None:
        self._rows_stay = rows_stay
        self._at: dict[Token, float] = {}

    def add(self, tokens: Iterable[Token], now: float) -> None:
        """Remember claims as settled, and forget the oldest."""
        self._at.update(dict.fromkeys(tokens, now))
        if len(self._at) > MAX_REMEMBERED:
            self._at = dict(islice(self._at.items(), len(self._at) - MAX_REMEMBERED // 2, None))

    def clear(self) -> None:
        """Forget all: the node has a new name, and what was lost before is known."""
        self._at.clear()

    def sample(self, now: float) -> list[Token]:
        """Return the newest claims, if they are recent; the commits that a failover loses are the newest."""
        newest = islice(reversed(self._at), SAMPLE)
        return [token for token in newest if now - self._at[token] < MAX_AGE]

    def undone(self, unheld: Iterable[Token]) -> str:
        """Say which settled claim the table shows as held, empty for none."""
        token = next((token for token in unheld if token in self._at), None)
        return "" if token is None else f"{_end_of(token)}, and the table shows it as claimed"

    def judge(self, sample: Collection[Token], rows: Collection[TaskRow], *, after_outage: bool) -> str:
        """Say which end is lost by the rows of a sample as they are now, empty for none.

        A row that is gone tells something only after an outage: at other times somebody has deleted it.
        """
        by_id = {row.id: row for row in rows}
        for token in sample:
            row = by_id.get(token.task_id)
            if row is None and self._rows_stay and after_outage:
                return f"{_end_of(token)}, and the task is gone (unless somebody has deleted it)"
            if row is not None and row.claims < token.claims:
                return f"{_end_of(token)}, and the table has {row.claims} claims"
        return ""


def _end_of(token: Token) -> str:
    return f"the end of claim {token.claims} of task {token.task_id} was acknowledged"
