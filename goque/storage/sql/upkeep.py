"""What healer, cleaner, lease and scheduler ask of a SQL storage."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from goque.errors import MAX_DELAY, ConfigurationError
from goque.options import ProcessorOptions
from goque.outcome import Change
from goque.storage.contract import NodeRow, TypePolicy
from goque.storage.sql.call_policy import PATIENT_WRITE, PINNED_READ, READ, REPEATABLE_WRITE, WRITE
from goque.storage.sql.claiming.claims_in_turns import SqlClaimsInTurns
from goque.storage.sql.read_values import read_count, read_number, read_optional_int
from goque.storage.sql.session import Row, Session
from goque.task_row import TERMINAL_STATUSES, TaskRow, TaskStatus, Token
from goque.task_rules.limits import NO_LIMITS, encode_limits, read_changes, read_limits

TYPES_AT_ONCE: Final = 500
"""Types that are read at a time where all without a policy are cleaned: there may be any number of them."""

SWEEP_SECONDS: Final = 2.0

_USUAL: Final = ProcessorOptions()


class _TakenBackError(Exception):
    """Nothing went wrong: the transaction is to be rolled back."""


class SqlUpkeep(SqlClaimsInTurns):
    """The part of the contract that keeps a database in order."""

    _sweep_from = ""
    """The type with which the next look at all types without a policy begins."""

    def register_node(self, node_id: str, *, host: str, pid: int, info: str | None = None) -> None:
        """Announce a living supervisor; its seq starts at 1."""

        def register(session: Session) -> None:
            session.run(self._sql.forget_node, {"id": node_id})
            session.run(self._sql.register_node, {"id": node_id, "host": host, "pid": pid, "info": info})

        self._run(register, WRITE)

    def rehearse_writing(self) -> None:
        """Register a node in a transaction that is rolled back, as what a supervisor does first."""
        node_id = str(uuid.uuid4())

        def register(session: Session) -> None:
            session.run(self._sql.forget_node, {"id": node_id})
            session.run(self._sql.register_node, {"id": node_id, "host": "", "pid": 0, "info": None})
            raise _TakenBackError

        with suppress(_TakenBackError):
            self._run(register, PATIENT_WRITE)

    def beat(self, node_id: str, *, info: str | None = None) -> bool:
        """Raise a living node's seq; False when the node is not alive any more for the others."""
        params = {"id": node_id, "info": info}
        return self._run(lambda session: session.run(self._sql.beat, params), WRITE) > 0

    def beat_after(self, node_id: str, acknowledged: int, seq: int, *, info: str | None = None) -> bool:
        """Set a living node's seq, unless it is lower than the last acknowledged one or not lower than the new one."""
        params = {"id": node_id, "acknowledged": acknowledged, "seq": seq, "info": info}
        return self._run(lambda session: session.run(self._sql.beat_after, params), WRITE) > 0

    def node(self, node_id: str) -> NodeRow | None:
        """Read one node, whatever its state."""
        rows = self._run(lambda session: session.rows(self._sql.node_by_id, {"id": node_id}), READ)
        return self._read_node(rows[0]) if rows else None

    def retire_node(self, node_id: str) -> None:
        """Mark a node as stopped on its own accord."""
        self._run(lambda session: session.run(self._sql.retire_node, {"id": node_id}), REPEATABLE_WRITE)

    def nodes(self) -> list[NodeRow]:
        """Read every node that is alive, or that is not but may still hold tasks."""
        return [
            self._read_node(row)
            for row in self._run(lambda session: session.rows(self._sql.nodes), PINNED_READ)
        ]

    def unknown_owners(self) -> list[str]:
        """Read up to 1,000 names that own tasks and that no node has."""
        rows = self._run(lambda session: session.rows(self._sql.unknown_owners), PINNED_READ)
        return [self._dialect.read_text(row[0]) for row in rows]

    def mark_node_dead(self, node_id: str, seen_seq: int) -> bool:
        """Declare a node dead if its seq is still the one seen; False if it moved or was marked before."""
        params = {"id": node_id, "seen_seq": seen_seq}
        return self._run(lambda session: session.run(self._sql.mark_node_dead, params), WRITE) > 0

    def unowned_claims(
        self, older_than: float, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read pending and processing rows without an owner, unchanged for so many seconds, oldest first."""
        params = {"age": older_than, "task_type": task_type, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.unowned_claims, params), PINNED_READ)
        return [self._dialect.read_task(row) for row in rows]

    def settle_unowned_if_unchanged(self, rows: Sequence[TaskRow], changes: Sequence[Change]) -> set[Token]:
        """Write the changes of rows without an owner that are still as they were read; returns their claims."""
        as_read = {row.id: (row.status, row.updated_at, row.claims, row.claimed_by) for row in rows}

        def settle(session: Session) -> set[Token]:
            batch = self._dialect.encode_list(list(as_read))
            found = map(self._dialect.read_task, session.rows(self._sql.tasks_by_id, {"batch": batch}))
            same = {
                row.id
                for row in found
                if not row.claimed_by
                and (row.status, row.updated_at, row.claims, row.claimed_by) == as_read[row.id]
            }
            still = [change for change in changes if change.token.task_id in same]
            return self._settle(session, still, None, woken, set())

        woken: set[str] = set()
        written = self._run(settle, WRITE) if rows and changes else set()
        if woken:
            self._dialect.nudge(woken)
        return written

    def delete_finished(
        self,
        task_type: str | None,
        statuses: Iterable[TaskStatus],
        age: float,
        *,
        limit: int = 1000,
        known: Collection[str] = (),
    ) -> int:
        """Delete up to `limit` unheld tasks in these statuses, last moved more than `age` seconds ago."""
        wanted = [TaskStatus(status) for status in statuses]
        if not TERMINAL_STATUSES.issuperset(wanted):
            raise ConfigurationError(
                "delete_finished takes only the statuses of finished tasks: done, canceled and attempts_left"
            )
        if task_type is None:
            return self._sweep(wanted, age, limit, known)
        return self._delete_of(task_type, wanted, age, limit)

    def _sweep(self, statuses: Sequence[TaskStatus], age: float, limit: int, known: Collection[str]) -> int:
        """Delete of types without a policy, for a few seconds; the next call goes on where this one ends."""
        deleted, until = 0, time.monotonic() + SWEEP_SECONDS
        while True:
            for name in self._unpublished_types(known):
                deleted += self._delete_of(name, statuses, age, limit - deleted)
                if deleted >= limit:
                    self._sweep_from = name
                    return deleted
            if not self._sweep_from or time.monotonic() >= until:
                return deleted

    def _delete_of(self, task_type: str, statuses: Sequence[TaskStatus], age: float, limit: int) -> int:
        deleted = 0
        for status in statuses:
            if deleted < limit:
                params = {
                    "task_type": task_type,
                    "status": status.value,
                    "age": age,
                    "limit": limit - deleted,
                }
                deleted += self._delete(params)
        return deleted

    def _delete(self, params: dict[str, Any]) -> int:
        if not self._run(lambda session: session.rows(self._sql.finished_exists, params), PINNED_READ):
            return 0  # an idle cleaner does not take the write lock

        def delete(session: Session) -> int:
            rows = self._change(session, self._sql.delete_finished, params)
            ids = [self._dialect.read_text(row[0]) for row in rows]
            session.run(self._sql.delete_attempts, {"batch": self._dialect.encode_list(ids)})
            self._step_deletes.with_tasks(session, rows)
            return len(ids)

        return self._delete_with_steps(lambda: self._run(delete, WRITE))

    def _unpublished_types(self, known: Collection[str]) -> list[str]:
        """Return the unpublished ones of the next types, and move on; after the last type the first one follows."""
        params = {"after": self._sweep_from, "most": TYPES_AT_ONCE}
        rows = self._run(lambda session: session.rows(self._sql.next_types, params), PINNED_READ)
        types = [(self._dialect.read_text(name), published) for name, published in rows]
        self._sweep_from = types[-1][0] if len(types) == TYPES_AT_ONCE else ""
        return [name for name, published in types if not published and name not in known]

    def delete_dead_nodes(self, age: float) -> int:
        """Delete nodes that are not alive, hold nothing, and last beat more than `age` seconds ago."""
        return self._run(lambda session: session.run(self._sql.delete_dead_nodes, {"age": age}), WRITE)

    def publish_types(self, policies: Sequence[TypePolicy]) -> None:
        """Write the policies of types that this node owns; leaves `paused` as it is in the database."""

        def publish(session: Session) -> None:
            for policy in policies:
                params = {
                    **msgspec.structs.asdict(policy),
                    "paused": int(policy.paused),
                    "limits": encode_limits(policy.limits),
                }
                if not session.run(self._sql.update_type, params):
                    session.run(self._sql.insert_type, params)

        if policies:
            self._run(publish, WRITE)
            self._limited_types.published(policies)

    def type_policies(self) -> dict[str, TypePolicy]:
        """Read every published policy by type."""
        rows = self._run(lambda session: session.rows(self._sql.type_policies), READ)
        return {policy.type: policy for policy in map(self._read_policy, rows)}

    def _read_policy(self, row: Row) -> TypePolicy:
        """Read a policy; what is none, such as an age below zero, is as if nobody had chosen it."""
        text, usual = self._dialect.read_text, _USUAL
        return TypePolicy(
            type=text(row[0]),
            max_attempts=max(1, read_count(row[1])),
            strategy=self._dialect.read_optional_text(row[2]),
            max_crashes=read_optional_int(row[3]),
            cleaner_age=read_number(row[4], usual.cleaner_updated_at_time_ago, most=MAX_DELAY),
            cleaner_keep_failed=read_number(row[5], usual.cleaner_keep_failed, most=MAX_DELAY),
            healer_age=read_number(row[6], usual.healer_updated_at_time_ago, most=MAX_DELAY),
            paused=bool(row[7]),
            limits=NO_LIMITS if row[8] is None else read_limits(text(row[8])),
            changes=None if row[9] is None else read_changes(text(row[9])),
        )

    def pause_type(self, task_type: str) -> bool:
        """Let no node claim a type; False if it is paused already."""
        return self._switch_type(task_type, paused=1)

    def resume_type(self, task_type: str) -> bool:
        """Let every node claim a type again; False if it is not paused."""
        return self._switch_type(task_type, paused=0)

    def _switch_type(self, task_type: str, *, paused: int) -> bool:
        params = {"type": task_type, "paused": paused}
        switched = False

        def switch(session: Session) -> bool:
            nonlocal switched
            switched |= session.run(self._sql.pause_type, params) > 0
            return switched  # by an earlier try too, whose answer was lost

        if self._run(switch, PATIENT_WRITE):
            return True
        if task_type in self.type_policies():
            return False
        raise self._unknown_type(task_type)

    def _unknown_type(self, task_type: str) -> ConfigurationError:
        """Return the error of a call about a type that no supervisor has published."""
        known = sorted(self.type_policies())
        if not known:
            return ConfigurationError(
                f"type {task_type!r:.210} is unknown: no supervisor has run on this database yet"
            )
        near = get_close_matches(task_type, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
        return ConfigurationError(f"no supervisor has run tasks of type {task_type!r:.210}; {hint}")

    def last_slot(self, job_name: str) -> datetime | None:
        """Return the newest slot of a periodic job that was enqueued, None before the first."""
        rows = self._run(lambda session: session.rows(self._sql.last_slot, {"job_name": job_name}), READ)
        return self._dialect.read_time(rows[0][0]) if rows else None

    def record_slot(self, job_name: str, slot: datetime) -> None:
        """Remember a slot as enqueued; an older slot than the remembered one changes nothing."""
        params = {"job_name": job_name, "slot": self._dialect.time(slot)}

        def record(session: Session) -> None:
            if not session.run(self._sql.advance_slot, params) and not session.run(
                self._sql.insert_slot, params
            ):
                session.run(self._sql.advance_slot, params)  # another scheduler was faster with another slot

        self._run(record, WRITE)

    def paused_jobs(self) -> frozenset[str]:
        """Return the names of the periodic jobs that are paused."""
        rows = self._run(lambda session: session.rows(self._sql.paused_jobs), READ)
        return frozenset(self._dialect.read_text(row[0]) for row in rows)

    def pause_job(self, job_name: str, now: datetime) -> bool:
        """Pause a periodic job on every node; False if it is paused already."""

        def pause(session: Session) -> int:
            session.run(self._sql.insert_slot, {"job_name": job_name, "slot": self._dialect.time(now)})
            return session.run(self._sql.pause_job, {"job_name": job_name, "paused": 1})

        return self._run(pause, WRITE) > 0

    def resume_job(self, job_name: str, now: datetime) -> bool:
        """Let a paused job go on with its first slot after `now`; False if it is not paused."""

        def resume(session: Session) -> int:
            resumed = session.run(self._sql.pause_job, {"job_name": job_name, "paused": 0})
            if resumed:
                params = {"job_name": job_name, "slot": self._dialect.time(now)}
                session.run(self._sql.advance_slot, params)  # what passed in the pause was not missed
            return resumed

        return self._run(resume, WRITE) > 0
