"""Reads for lists of tasks and for the search box. Each looks at a bounded number of rows, by an index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from goque.storage.search_types import StatusCount, TaskLine
from goque.storage.sql.call_policy import PINNED_READ
from goque.storage.sql.read_values import read_count
from goque.storage.sql.search import MAX_TYPES, SqlSearch
from goque.storage.sql.session import Session
from goque.task_row import TERMINAL_STATUSES, TaskStatus

MIN_ID_PREFIX: Final = 4
"""The fewest digits of an id that somebody may look for."""

SCAN: Final = 100
"""How many external ids of each type are looked at; in some collations others lie between those with a prefix."""

MAX_PREVIEWED: Final = 16 * 1024
"""The largest payload, in bytes as it is stored, of which a preview is read: a database reads it as a whole."""

_LAST_CHARACTER: Final = "\U0010ffff"
_ID_PREFIX: Final = re.compile(rf"[0-9a-f-]{{{MIN_ID_PREFIX},36}}")
_ID_SHAPE: Final = "00000000-0000-0000-0000-000000000000"


class SqlTaskLists(SqlSearch):
    """The part of the contract that lists of tasks use."""

    def tasks_named(self, text: str, *, limit: int = 20) -> list[TaskLine]:
        """Read tasks whose id or external id is a text or begins with it, up to `limit` by either."""
        return self._run(lambda session: self._named(session, text, limit), PINNED_READ)

    def _named(self, session: Session, text: str, limit: int) -> list[TaskLine]:
        sql, read = self._sql.search, self._dialect.read_text
        params = {"most": limit, "scan": max(SCAN, limit)}
        found: list[str] = []
        if (bounds := id_bounds(text.lower())) is not None:
            rows = session.rows(sql.of_ids, {**params, "low": bounds[0], "high": bounds[1]})
            found += [read(row[0]) for row in rows]
        types = self._dialect.encode_list(self._types_in(session)[:MAX_TYPES])
        span = {"types": types, "prefix": text, "past": text + _LAST_CHARACTER}
        found += [read(row[0]) for row in session.rows(sql.of_external_ids, {**params, **span})]
        if not found:
            return []
        batch = {"batch": self._dialect.encode_list(list(dict.fromkeys(found)))}
        lines = [self._read_line(row) for row in session.rows(sql.lines_by_id, batch)]
        return sorted(lines, key=lambda line: (line.external_id != text, line.external_id, line.id))

    def payload_previews(self, task_ids: Sequence[str], *, length: int) -> dict[str, str | None]:
        """Read the first characters of the payloads of some tasks; None for a payload that is large."""
        if not task_ids:
            return {}
        params = {
            "batch": self._dialect.encode_list(list(task_ids)),
            "length": length,
            "largest": MAX_PREVIEWED,
        }
        rows = self._run(lambda session: session.rows(self._sql.search.previews, params), PINNED_READ)
        text = self._dialect.read_text
        return {text(row[0]): None if row[1] is None else text(row[1]) for row in rows}

    def status_counts(self, task_types: Sequence[str] = (), *, most: int) -> list[StatusCount]:
        """Count the tasks of some types, or of all, by status; each of seven counts ends at `most` rows."""
        return self._run(lambda session: self._status_counts(session, task_types, most), PINNED_READ)

    def _status_counts(self, session: Session, task_types: Sequence[str], most: int) -> list[StatusCount]:
        sql = self._sql.search
        types = list(task_types) or self._types_in(session)[:MAX_TYPES]
        params: dict[str, Any] = {"types": self._dialect.encode_list(types), "most": most + 1}
        asked: list[tuple[str, dict[str, Any]]]
        asked = [(one, {}) for one in (sql.waiting, sql.blocked, sql.held, sql.unowned)]
        asked += [(sql.finished, {"status": status.value}) for status in sorted(TERMINAL_STATUSES)]
        counts: dict[str, int] = {}
        cut: set[str] = set()
        for candidates, own in asked if types else ():
            rows = session.rows(_counting(candidates), {**params, **own})
            found = {self._dialect.read_text(status): read_count(count) for status, count in rows}
            for status, count in found.items():
                counts[status] = counts.get(status, 0) + count
            if sum(found.values()) > most:
                cut |= found.keys()
        return [
            StatusCount(status.value, min(counts.get(status, 0), most), status in cut)
            for status in TaskStatus
        ]


def _counting(candidates: str) -> str:
    """Return the statement that counts the candidates of another by status."""
    return f"SELECT status, count(*) FROM ({candidates}\n) AS found GROUP BY status"  # noqa: S608 - a constant text


def id_bounds(text: str) -> tuple[str, str] | None:
    """Return the smallest and the largest id that begin with a text in lower case; None if no id does."""
    shape = _ID_SHAPE[: len(text)]
    is_id = _ID_PREFIX.fullmatch(text) and all(
        (a == "-") == (b == "-") for a, b in zip(text, shape, strict=True)
    )
    if not is_id:
        return None
    rest = _ID_SHAPE[len(text) :]
    return text + rest, text + rest.replace("0", "f")
