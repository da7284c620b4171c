"""What people ask of a SQL storage when they look at it, each answer from a bounded part of the table.

Tasks come newest first, by id, or oldest first, whatever is asked for. Four ways lead there, tried in this order:

1. A walk over the newest ids: most searches fill a page from there.
2. The candidates of an index (waiting, held, finished, of a type, with an external id), where they are few: then the
   page is exact, however rare its tasks are among millions.
3. The tasks that ended last, in the order of their ends, if only ended ones are searched: their ids tell how far back
   they are complete.
4. A longer walk, which stops after some ten thousand tasks and says how far it came; the next page goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from goque.storage.contract import NodeRow
from goque.storage.instants import later
from goque.storage.search_types import (
    SKEW,
    FailureLine,
    FinishedCount,
    ScheduleRow,
    TaskLine,
    TaskPage,
    TaskSearch,
    first_id_at,
    time_of_id,
)
from goque.storage.sql.call_policy import PINNED_READ, READ
from goque.storage.sql.ended.newest_ended import newest_ended
from goque.storage.sql.read_values import read_count, read_number
from goque.storage.sql.runner import SqlRunner
from goque.storage.sql.session import Row, Session
from goque.task_row import CLAIMED_STATUSES, TERMINAL_STATUSES, TaskStatus

NEWEST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
OLDEST_ID: Final = "00000000-0000-0000-0000-000000000000"
FIRST_WALK: Final = 1_000
MAX_WALK: Final = 20_000
MAX_CANDIDATES: Final = 5_000
BATCH: Final = 500
MAX_TYPES: Final = 500
MAX_ROWS: Final = 1_000
WAITING: Final = frozenset({TaskStatus.NEW, TaskStatus.ERROR})


@dataclass(frozen=True)
class _Way:
    """In which direction a search goes, from which id, to which id at most, and for how many tasks."""

    is_up: bool
    start: str
    end: str | None
    limit: int

    @classmethod
    def through(cls, search: TaskSearch, before: str | None, limit: int, *, is_up: bool) -> _Way:
        """Return the way through a search; clocks differ, so it begins a little earlier, and ends a little later."""
        low = None if search.created_from is None else first_id_at(later(search.created_from, -SKEW))
        high = None if search.created_before is None else first_id_at(later(search.created_before, SKEW))
        if is_up:
            return cls(is_up, max(before or OLDEST_ID, low or OLDEST_ID), high, limit)
        return cls(is_up, min(before or NEWEST_ID, high or NEWEST_ID), low, limit)

    def is_behind(self, one: str, other: str) -> bool:
        """Return whether the way comes to one id after another."""
        return one > other if self.is_up else one < other


class SqlSearch(SqlRunner):
    """The part of the contract that a dashboard uses."""

    def search_tasks(
        self,
        search: TaskSearch,
        *,
        before: str | None = None,
        limit: int = 50,
        oldest_first: bool = False,
        goes_on: bool = False,
    ) -> TaskPage:
        """Read up to `limit` tasks, newest first, that are older than the id `before`; or the other way round."""
        way = _Way.through(search, before, limit, is_up=oldest_first)
        return self._run(lambda session: self._search(session, search, way, goes_on=goes_on), PINNED_READ)

    def _search(self, session: Session, search: TaskSearch, way: _Way, *, goes_on: bool) -> TaskPage:
        if goes_on:
            return self._walk(session, search, way, MAX_WALK)
        page = self._walk(session, search, way, FIRST_WALK)
        if page.looked_back_to is None:
            return page
        candidates = self._candidates(session, search)
        if candidates is not None:
            left = [one for one in candidates if way.is_behind(one, way.start)]
            return self._read_candidates(session, search, left, way.limit, is_up=way.is_up)
        return self._along_ends(session, search, way, page) or self._walk(session, search, way, MAX_WALK)

    def _along_ends(self, session: Session, search: TaskSearch, way: _Way, page: TaskPage) -> TaskPage | None:
        """Go on from a walk among the tasks that ended last; None if that comes no further.

        A walk has passed ids from the future, which others may make at random. It needs no index by id.
        """
        assert page.before is not None
        assert page.looked_back_to is not None
        wanted = set(search.statuses)
        if way.is_up or not wanted or wanted - TERMINAL_STATUSES or search.external_id or search.failure:
            return None
        types = self._types_of(session, search)
        if len(types) > MAX_TYPES or page.looked_back_to > later(session.now, SKEW):
            return None
        held = session.rows(
            self._sql.search.held, {"types": self._dialect.encode_list(types), "most": MAX_CANDIDATES + 1}
        )
        parts = [newest_ended(session, self._dialect, types, status) for status in sorted(wanted)]
        if len(held) > MAX_CANDIDATES or any(part.floor is None for part in parts):
            return None
        floor = max(part.floor for part in parts if part.floor)
        if floor >= page.before:
            return None
        ids = {self._dialect.read_text(row[0]) for row in held}.union(*(part.ids for part in parts))
        left = [one for one in ids if floor <= one < page.before]
        more = self._read_candidates(session, search, left, max(1, way.limit - len(page.lines)))
        lines = page.lines + more.lines
        if len(lines) > way.limit or more.before is not None:
            return TaskPage(lines[: way.limit], lines[way.limit - 1].id)
        is_all = floor <= (way.end or OLDEST_ID)
        return TaskPage(lines) if is_all else TaskPage(lines, floor, time_of_id(floor))

    def _walk(self, session: Session, search: TaskSearch, way: _Way, longest: int) -> TaskPage:
        """Go from an id to older or newer ones, over so many at most."""
        stop = last = None
        sql = self._sql.search
        if search != TaskSearch():
            edge = sql.ceiling if way.is_up else sql.floor
            rows = session.rows(edge, {"before": way.start, "scan": longest - 1})
            stop = last = self._dialect.read_text(rows[0][0]) if rows else None
        if way.end is not None and (stop is None or way.is_behind(stop, way.end)):
            stop, last = None, way.end
        bound = "ceiling" if way.is_up else "floor"
        params = self._params(search) | ({bound: last} if last else {})
        head, tail = sql.walk_up if way.is_up else sql.walk
        statement = self._with_conditions(head, params) + tail
        rows = session.rows(statement, {**params, "before": way.start, "limit": way.limit + 1})
        lines = [self._read_line(row) for row in rows]
        if len(lines) > way.limit:
            return TaskPage(lines[: way.limit], lines[way.limit - 1].id)
        return TaskPage(lines, stop, None if stop is None else time_of_id(stop))

    def _candidates(self, session: Session, search: TaskSearch) -> list[str] | None:
        """Return the ids that an index names for a search, in any order; None for none, or too many."""
        if not (search.task_type or search.types or search.statuses or search.external_id or search.failure):
            return None
        types = self._types_of(session, search)
        if len(types) > MAX_TYPES:
            return None
        found: set[str] = set()
        for sql, params in self._indexes_for(search):
            given = {**params, "types": self._dialect.encode_list(types), "most": MAX_CANDIDATES + 1}
            rows = session.rows(sql, given)
            if len(rows) > MAX_CANDIDATES:
                return None
            text = self._dialect.read_text
            found |= {text(row[0]) for row in rows if not search.statuses or text(row[1]) in search.statuses}
        return list(found)

    def _types_of(self, session: Session, search: TaskSearch) -> list[str]:
        """Return the types of a search; one more than are looked at if there are so many."""
        return [search.task_type] if search.task_type else list(search.types) or self._types_in(session)

    def _indexes_for(self, search: TaskSearch) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the statements that together find every task of a search, and their parameters."""
        sql, wanted = self._sql.search, set(search.statuses)
        if search.failure is not None:
            yield sql.of_failure, {"failure": search.failure}
            return
        if search.external_id is not None:
            yield sql.of_external_id, {"external_id": search.external_id}
            return
        if not wanted:
            yield sql.of_types, {}
            return
        if wanted & WAITING:
            yield sql.waiting, {}
        if TaskStatus.BLOCKED in wanted:
            yield sql.blocked, {}
        if wanted & (CLAIMED_STATUSES | TERMINAL_STATUSES):
            yield sql.held, {}  # of the terminal ones, those whose handler is still being stopped
        if wanted & CLAIMED_STATUSES:
            yield sql.unowned, {}
        for status in sorted(wanted & TERMINAL_STATUSES):
            yield sql.finished, {"status": status.value}

    def _read_candidates(
        self, session: Session, search: TaskSearch, found: Sequence[str], limit: int, *, is_up: bool = False
    ) -> TaskPage:
        params = self._params(search)
        sql = self._with_conditions(self._sql.search.lines_by_id, params)
        lines: list[TaskLine] = []
        candidates = sorted(found, reverse=not is_up)
        for start in range(0, len(candidates), BATCH):
            batch = self._dialect.encode_list(candidates[start : start + BATCH])
            rows = session.rows(sql, {**params, "batch": batch})
            lines += sorted(map(self._read_line, rows), key=lambda line: line.id, reverse=not is_up)
            if len(lines) > limit:
                return TaskPage(lines[:limit], lines[limit - 1].id)
        return TaskPage(lines)

    def _with_conditions(self, head: str, params: dict[str, Any]) -> str:
        conditions = [sql for name, sql in self._sql.search.conditions.items() if name in params]
        return "\n      AND ".join([head, *conditions])

    def _params(self, search: TaskSearch) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name in ("task_type", "external_id", "limit_key", "failure", "error", "payload"):
            if (value := getattr(search, name)) is not None:
                params[name] = value
        for name in ("created_from", "created_before"):
            if (instant := getattr(search, name)) is not None:
                params[name] = self._dialect.time(instant)
        if search.types:
            params["types"] = self._dialect.encode_list(list(search.types))
        if search.statuses:
            params["statuses"] = self._dialect.encode_list([status.value for status in search.statuses])
        return params

    def _read_line(self, row: Row) -> TaskLine:
        text, instant = self._dialect.read_text, self._dialect.read_time
        return TaskLine(
            id=text(row[0]),
            type=text(row[1]),
            external_id=text(row[2]),
            status=text(row[3]),
            attempts=read_count(row[4]),
            last_errors=text(row[5]),
            created_at=instant(row[6]),
            updated_at=None if row[7] is None else instant(row[7]),
            next_attempt_at=instant(row[8]),
            priority=read_count(row[9]),
            claimed_by=self._dialect.read_optional_text(row[10]),
        )

    def task_types(self) -> list[str]:
        """Return the types that have tasks, in their order, the first 501 at most."""
        return sorted(self._run(self._types_in, PINNED_READ))

    def _types_in(self, session: Session) -> list[str]:
        rows = session.rows(self._sql.search.typed_tasks, {"limit": MAX_TYPES + 1})
        return [self._dialect.read_text(row[0]) for row in rows]

    def finished_counts(
        self, task_types: Sequence[str], since: datetime, until: datetime, *, step: int
    ) -> list[FinishedCount]:
        """Count the tasks of some types that ended in a span of time, by type, status and slot."""
        span = {"since": self._dialect.time(since), "until": self._dialect.time(until), "step": step}
        sql = self._sql.search.finished_counts

        def count(session: Session) -> list[FinishedCount]:
            return [
                FinishedCount(task_type, status.value, int(slot) * step, tasks)
                for task_type in task_types
                for status in sorted(TERMINAL_STATUSES)
                for slot, tasks in session.rows(sql, {**span, "task_type": task_type, "status": status.value})
                if isinstance(slot, int | float)
            ]

        return self._run(count, PINNED_READ)

    def tasks_of_external_ids(
        self, task_types: Sequence[str], external_ids: Sequence[str]
    ) -> dict[str, TaskLine]:
        """Read the tasks of some types that have these external ids, by external id; one of each."""
        given = {"types": self._dialect.encode_list(task_types), "most": 1}
        sql, text = self._sql.search, self._dialect.read_text

        def read(session: Session) -> list[TaskLine]:
            found = [
                text(row[0])
                for external_id in external_ids
                for row in session.rows(sql.of_external_id, {**given, "external_id": external_id})
            ]
            return self._read_candidates(session, TaskSearch(), found, len(found)).lines if found else []

        return {line.external_id: line for line in self._run(read, PINNED_READ)}

    def failures(self, *, after: int = 0, until: int = 2**62, limit: int = 100) -> list[FailureLine]:
        """Read the newest failed attempts whose ids lie between two, newest first."""
        params = {"after": after, "until": until, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.search.failures, params), PINNED_READ)
        return [self._read_failure(row) for row in rows]

    def _read_failure(self, row: Row) -> FailureLine:
        text = self._dialect.read_text
        return FailureLine(
            id=row[0],
            task_id=text(row[1]),
            type=text(row[2]),
            status=text(row[3]),
            attempt=read_count(row[4]),
            cause=text(row[5]),
            error=text(row[6]),
            ended_at=self._dialect.read_time(row[7]),
            duration=read_number(row[8], None),
            external_id=text(row[9]),
            failure_group=self._dialect.read_optional_text(row[10]),
        )

    def recent_nodes(self) -> list[NodeRow]:
        """Read the nodes that beat last, those that have ended too, newest beat first."""
        rows = self._run(lambda session: session.rows(self._sql.search.all_nodes, {"limit": MAX_ROWS}), READ)
        return [self._read_node(row) for row in rows]

    def schedules(self) -> list[ScheduleRow]:
        """Read what is known of periodic jobs, by name."""
        rows = self._run(lambda session: session.rows(self._sql.search.schedules, {"limit": MAX_ROWS}), READ)
        text, instant = self._dialect.read_text, self._dialect.read_time
        return [ScheduleRow(text(name), instant(slot), bool(paused)) for name, slot, paused in rows]
