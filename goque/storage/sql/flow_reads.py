"""What people ask of flows when they look at them; each answer goes by the keys of flows and needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from goque.errors import TaskNotFoundError
from goque.flows.plan import Wants
from goque.storage.contract.flow_reads import (
    NEVER_SO_MANY,
    FlowCount,
    FlowLines,
    FlowOverview,
    FlowTask,
    NeedState,
    Neighbor,
    TaskLinks,
)
from goque.storage.sql.call_policy import PINNED_READ
from goque.storage.sql.session import Row, Session
from goque.storage.sql.statements.flow_reads import FLOW_READS
from goque.storage.sql.statements.flows import FAILED, MET, OPEN
from goque.storage.sql.task_lists.type_counts import SqlTypeCounts
from goque.task_row import TaskStatus

STATES: Final[dict[int, NeedState]] = {OPEN: "open", MET: "met", FAILED: "failed"}


class SqlFlowReads(SqlTypeCounts):
    """The part of the contract about looking at flows."""

    def has_flow(self, flow_id: str) -> bool:
        """Return whether a flow has this id."""
        if not self._dialect.is_task_id(flow_id):
            return False
        params = {"id": flow_id}
        return bool(self._run(lambda session: session.rows(self._sql.flows.flow_by_id, params), PINNED_READ))

    def flow_overview(self, flow_id: str) -> FlowOverview:
        """Count the tasks of a flow by type and status."""
        if not self._dialect.is_task_id(flow_id):
            raise TaskNotFoundError(flow_id, "flow")
        return self._run(lambda session: self._read_overview(session, flow_id), PINNED_READ)

    def _read_overview(self, session: Session, flow_id: str) -> FlowOverview:
        text = self._dialect.read_text
        flows = session.rows(self._sql.flows.flow_by_id, {"id": flow_id})
        if not flows:
            raise TaskNotFoundError(flow_id, "flow")
        _id, name, created_at = flows[0]
        counts = [
            FlowCount(text(task_type), text(status), bool(is_held), count)
            for task_type, status, is_held, count in session.rows(FLOW_READS.counts, {"id": flow_id})
        ]
        return FlowOverview(flow_id, text(name), self._dialect.read_time(created_at), counts)

    def flow_tasks(
        self, flow_id: str, *, most_tasks: int = NEVER_SO_MANY, most_needs: int = NEVER_SO_MANY
    ) -> list[FlowTask] | None:
        """Read which tasks a flow has and what they need; None if it has more of either."""
        if not self._dialect.is_task_id(flow_id):
            return []

        def read(session: Session) -> tuple[Sequence[Row], Sequence[Row]]:
            tasks = session.rows(FLOW_READS.tasks, {"id": flow_id, "limit": most_tasks + 1})
            if len(tasks) > most_tasks:
                return tasks, ()
            return tasks, session.rows(FLOW_READS.edges, {"id": flow_id, "limit": most_needs + 1})

        tasks, edges = self._run(read, PINNED_READ)
        if len(tasks) > most_tasks or len(edges) > most_needs:
            return None
        text = self._dialect.read_text
        needs: dict[str, list[str]] = {}
        for task_id, needs_id in edges:
            needs.setdefault(text(task_id), []).append(text(needs_id))
        return [
            FlowTask(text(task_id), text(task_type), text(status), tuple(needs.get(text(task_id), ())))
            for task_id, task_type, status in tasks
        ]

    def flow_lines(
        self, flow_id: str, *, statuses: Sequence[TaskStatus] = (), after: int = -1, limit: int = 50
    ) -> FlowLines:
        """Read up to `limit` tasks of a flow behind a place, of some statuses or of all."""
        if not self._dialect.is_task_id(flow_id):
            return FlowLines([], None)
        sql, params = FLOW_READS.places, {"id": flow_id, "after": after, "limit": limit + 1}
        if statuses:
            head, tail = FLOW_READS.places_in
            sql = head + self._sql.search.conditions["statuses"] + tail
            params["statuses"] = self._dialect.encode_list([status.value for status in statuses])
        return self._run(lambda session: self._read_lines(session, sql, params, limit), PINNED_READ)

    def _read_lines(self, session: Session, sql: str, params: dict[str, Any], limit: int) -> FlowLines:
        places = session.rows(sql, params)
        ids = [self._dialect.read_text(task_id) for _place, task_id in places[:limit]]
        batch = {"batch": self._dialect.encode_list(ids)}
        rows = session.rows(self._sql.search.lines_by_id, batch) if ids else []
        lines = {line.id: line for line in map(self._read_line, rows)}
        after = int(places[limit - 1][0]) if len(places) > limit else None
        return FlowLines([lines[task_id] for task_id in ids if task_id in lines], after)

    def open_outside(self, flow_id: str, *, most: int = 20) -> list[Neighbor]:
        """Read at most so many tasks outside of a flow that it waits for."""
        if not self._dialect.is_task_id(flow_id):
            return []
        return self._run(
            lambda session: self._neighbors(session, FLOW_READS.open_outside, flow_id, most), PINNED_READ
        )

    def links_of(self, task_id: str, *, most: int = 20) -> TaskLinks:
        """Read the flow of a task, and at most so many of what it needs and of what needs it."""
        if not self._dialect.is_task_id(task_id):
            return TaskLinks(needs=[], dependents=[])
        return self._run(lambda session: self._read_links(session, task_id, most), PINNED_READ)

    def flows_of(self, task_ids: Sequence[str]) -> dict[str, str]:
        """Return the flow of each task that is in one, by task."""
        text, params = self._dialect.read_text, {"ids": self._dialect.encode_list(list(task_ids))}
        rows = self._run(lambda session: session.rows(self._sql.flows.flows_of_tasks, params), PINNED_READ)
        return {text(task_id): text(flow_id) for task_id, flow_id in rows}

    def _read_links(self, session: Session, task_id: str, most: int) -> TaskLinks:
        text, params = self._dialect.read_text, {"id": task_id}
        flows = session.rows(FLOW_READS.flow_of_task, params)
        flow_id, flow_name = map(text, flows[0]) if flows else (None, "")
        [(dependent_count,)] = session.rows(FLOW_READS.dependent_count, params)
        return TaskLinks(
            flow_id=flow_id,
            flow_name=flow_name,
            needs=self._neighbors(session, FLOW_READS.needs, task_id, most),
            need_counts={
                STATES[state]: count for state, count in session.rows(FLOW_READS.need_counts, params)
            },
            dependents=self._neighbors(session, FLOW_READS.dependents, task_id, most),
            dependent_count=dependent_count,
        )

    def _neighbors(self, session: Session, sql: str, task_id: str, most: int) -> list[Neighbor]:
        text = self._dialect.read_text
        found: list[Neighbor] = []
        for other_id, task_type, status, wants, state in session.rows(sql, {"id": task_id, "limit": most}):
            is_gone = task_type is None
            wanted: Wants = "ended" if text(wants) == "ended" else "done"
            found.append(
                Neighbor(
                    text(other_id),
                    "" if is_gone else text(task_type),
                    "" if is_gone else text(status),
                    wanted,
                    STATES[state],
                )
            )
        return found
