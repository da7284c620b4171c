"""Write, read, merge and delete counts of runs by slots of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from goque.storage.contract import RollupRow
from goque.storage.sql.call_policy import READ, WRITE
from goque.storage.sql.read_values import read_count
from goque.storage.sql.runner import SqlRunner
from goque.storage.sql.session import Session

MERGED: Final = ""
"""The writer of a row that has been merged from those of all writers."""

MAX_UNMERGED: Final = 200
"""How many slots back unmerged rows are looked for; a row that is older is deleted as it is."""


class SqlRollups(SqlRunner):
    """The part of the contract that counts runs over a longer time."""

    def put_rollups(self, rows_at: Callable[[datetime], Sequence[RollupRow]]) -> None:
        """Write rows in one transaction; a row of the same slot and writer is replaced."""

        def put(session: Session) -> None:
            for row in rows_at(session.now):
                params = {"step": row.step, "slot": row.slot, "writer": row.writer, "runs": row.runs}
                session.run(self._sql.rollups.put, params)

        self._run(put, WRITE)

    def rollups(self, step: int, since: int, *, limit: int) -> list[RollupRow]:
        """Read the rows with slots of this length that start at `since` or later, the newest first."""
        params = {"step": step, "slot": since, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.rollups.since, params), READ)
        text = self._dialect.read_text
        return [RollupRow(read_count(row[0]), read_count(row[1]), text(row[2]), text(row[3])) for row in rows]

    def merge_rollups(
        self, step: int, age: float, merge: Callable[[Sequence[str]], str], *, limit: int
    ) -> int:
        """Merge the rows of slots that ended more than `age` seconds ago, up to `limit` slots of one length."""

        def find(session: Session) -> list[int]:
            over = int(session.now.timestamp() - age) - step
            span = {"first": over - MAX_UNMERGED * step, "slot": over, "step": step, "limit": limit}
            return [read_count(row[0]) for row in session.rows(self._sql.rollups.unmerged, span)]

        slots = self._run(find, READ)
        for slot in slots:
            self._run(partial(self._merge_slot, step=step, slot=slot, merge=merge), WRITE)
        return len(slots)

    def _merge_slot(
        self, session: Session, *, step: int, slot: int, merge: Callable[[Sequence[str]], str]
    ) -> None:
        """Put one row in the place of a slot's rows; of two cleaners the second finds them merged."""
        place = {"step": step, "slot": slot}
        text = self._dialect.read_text
        rows = [(text(row[0]), text(row[1])) for row in session.rows(self._sql.rollups.lock, place)]
        if all(writer == MERGED for writer, _runs in rows):
            return
        session.run(self._sql.rollups.delete_slot, place)
        merged = merge([runs for _writer, runs in rows])
        session.run(self._sql.rollups.put, {**place, "writer": MERGED, "runs": merged})

    def delete_rollups(self, step: int, age: float, *, limit: int) -> int:
        """Delete up to `limit` slots of one length that started more than `age` seconds ago."""

        def delete(session: Session) -> int:
            before = {"step": step, "slot": int(session.now.timestamp() - age), "limit": limit}
            old = [read_count(row[0]) for row in session.rows(self._sql.rollups.oldest, before)]
            return session.run(self._sql.rollups.delete, {"step": step, "slot": old[-1]}) if old else 0

        return self._run(delete, WRITE)
