"""Reads for lists of tasks and for the search box. Each looks at a bounded number of rows, by an index."""

from __future__ import annotations

import re
from collections import Counter
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

MOST_OPEN: Final = 2_000
"""Where the counts of waiting, blocked, claimed and running tasks end at the latest: they read the rows."""

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
        return {text(row[0]): self._dialect.read_optional_text(row[1]) for row in rows}

    def status_counts(self, task_types: Sequence[str] = (), *, most: int) -> list[StatusCount]:
        """Count the tasks of some types, or of all, by status; each count ends at a number of rows."""
        return self._run(lambda session: self._status_counts(session, task_types, most), PINNED_READ)

    def _status_counts(self, session: Session, task_types: Sequence[str], most: int) -> list[StatusCount]:
        types = list(task_types) or self._types_in(session)[:MAX_TYPES]
        counts: Counter[str] = Counter()
        cut: set[str] = set()
        if types:
            params = {"types": self._dialect.encode_list(types)}
            self._count_open(session, params, min(most, MOST_OPEN), counts, cut)
            self._count_finished(session, params, most, counts, cut)
        return [StatusCount(status.value, counts[status], status in cut) for status in TaskStatus]

    def _count_open(
        self, session: Session, params: dict[str, Any], most: int, counts: Counter[str], cut: set[str]
    ) -> None:
        """Count what has not ended, and what is held, from the rows themselves, because no index has their status."""
        sql = self._sql.search
        for candidates in (sql.waiting, sql.blocked, sql.held, sql.unowned):
            rows = session.rows(_counting(candidates), {**params, "most": most + 1})
            found = Counter({self._dialect.read_text(status): read_count(count) for status, count in rows})
            if found.total() > most:
                cut.update(found)
                found.subtract({found.most_common(1)[0][0]: found.total() - most})
            counts.update(found)

    def _count_finished(
        self, session: Session, params: dict[str, Any], most: int, counts: Counter[str], cut: set[str]
    ) -> None:
        for status in sorted(TERMINAL_STATUSES):
            given = {**params, "status": status.value, "most": most + 1}
            [[found]] = session.rows(self._sql.search.finished_total, given)
            if read_count(found) > most:
                cut.add(status.value)
            counts[status.value] += min(read_count(found), most)


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
