"""How the parts of a SQL storage run their statements: by a policy, on goque's connection or the caller's."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from goque.flows.withheld_writes import refuse_write_in_replay
from goque.storage.contract import NodeRow, TaskStorage
from goque.storage.sql.call_policy import WRITE, CallPolicy
from goque.storage.sql.caller_connection import note_error
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.read_values import read_count, read_optional_int
from goque.storage.sql.recorded_steps.deleting import StepDeletes, TooManyStepsError
from goque.storage.sql.session import (
    CommitUnansweredError,
    ConnectionLostError,
    DatabaseLockedError,
    Row,
    Session,
)
from goque.storage.sql.statements.kinds import LockThenChange

ResultT = TypeVar("ResultT")

PATIENCE: Final = 30.0
"""Seconds that an application's call waits for other writers. The actors of a tree try again by themselves."""

MAX_RETRY_PAUSE: Final = 0.02


class SqlRunner(TaskStorage):
    """A dialect, its connections, and the one way to run statements on them."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self.url = dialect.url
        self._dialect = dialect
        self._sql = dialect.sql
        self._connections = Connections(dialect.connect, dialect.pool(), dialect.second_connection())
        self._step_deletes = StepDeletes(dialect)
        self._lost_answers = 0

    @property
    def _has_lost_answers(self) -> bool:
        return self._lost_answers > 0

    def open_second_connection(self) -> bool:
        """Have a second connection, so that a second thread can claim while this one settles."""
        return self._connections.open_second()

    def close_second_connection(self) -> None:
        """Close it, if it has no other use."""
        self._connections.close_second()

    def _run(self, work: Callable[[Session], ResultT], policy: CallPolicy, conn: Any = None) -> ResultT:
        """Run statements as a policy says, and return what they return.

        After a write whose answer was lost, what the table shows may be committed on this server alone. Then a
        commit of its own follows, for a commit waits until all before it are as durable, and only then the answer.

        Args:
            work: the statements; may run again where the policy tries again.
            policy: which transaction, which retries, which timeout.
            conn: the caller's own connection. Nothing is tried again on it.
        """
        if conn is not None:
            return self._run_for_caller(work, policy, conn)
        began = time.monotonic()
        reconnects = policy.reconnects
        is_doubtful = False
        while True:
            try:
                if policy.writes:
                    refuse_write_in_replay()
                    self._connections.await_commit()
                with self._connections as session, policy.open(session):
                    result = work(session)
                if is_doubtful or (policy.writes and self._has_lost_answers):
                    self._make_durable()
            except ConnectionLostError as error:
                is_doubtful = policy.writes
                self._lost_answers += is_doubtful
                waits = policy.waits and isinstance(error, CommitUnansweredError)
                if not (reconnects or (waits and time.monotonic() - began < self._patience)):
                    raise
                reconnects = False  # an idle connection may have been closed; a new one finds out
            except DatabaseLockedError:
                if not policy.waits or time.monotonic() - began >= self._patience:
                    raise
                time.sleep(random.uniform(0, MAX_RETRY_PAUSE))  # noqa: S311 - spreads the writers that collided
            else:
                return result

    def _make_durable(self) -> None:
        """Commit a change that leaves nothing behind; what was committed before is then as durable as it is."""
        lost = self._lost_answers
        params = {"id": str(uuid.uuid4()), "host": "", "pid": 0, "info": None}
        self._connections.await_commit()
        with self._connections as session, WRITE.open(session):
            session.run(self._sql.register_node, params)
            session.run(self._sql.forget_node, params)
        if self._lost_answers == lost:  # another thread may have lost one meanwhile
            self._lost_answers = 0

    def _run_for_caller(self, work: Callable[[Session], ResultT], policy: CallPolicy, conn: Any) -> ResultT:
        try:
            session = self._dialect.wrap(conn)
            if not policy.writes:
                return work(session)
            refuse_write_in_replay()
            with session.transaction():
                return work(session)
        except Exception:
            note_error(conn)
            raise

    def _delete_with_steps(self, delete: Callable[[], ResultT]) -> ResultT:
        """Delete tasks with their recorded steps; if these are too many for one transaction, some go before."""
        while True:
            try:
                return delete()
            except TooManyStepsError as error:
                self._delete_steps_of(error.ids)

    def _delete_steps_of(self, ids: Sequence[str]) -> None:
        while self._run(lambda session: self._step_deletes.some_of(session, ids), WRITE):
            pass

    def _read_node(self, row: Row) -> NodeRow:
        text, instant = self._dialect.read_text, self._dialect.read_time
        node_id, seq, state, host, pid, started_at, heartbeat_at, info = row
        return NodeRow(
            id=text(node_id),
            seq=read_optional_int(seq) or 0,
            state=text(state),
            host=text(host),
            pid=read_count(pid),
            started_at=instant(started_at),
            heartbeat_at=instant(heartbeat_at),
            info=self._dialect.read_optional_text(info),
        )

    def _change(
        self, session: Session, statement: str | LockThenChange, params: dict[str, Any]
    ) -> Sequence[Row]:
        """Run a statement that returns the rows that it changes."""
        if isinstance(statement, str):
            return session.rows(statement, params)
        rows = session.rows(statement.lock, params)
        if not rows:
            return rows
        of_these = {**params, "ids": [row[0] for row in rows]}
        session.run(statement.change, of_these)
        if statement.changed is None or session.changed == len(rows):
            return rows
        changed = {row[0] for row in session.rows(statement.changed, of_these)}
        return [row for row in rows if row[0] in changed]
