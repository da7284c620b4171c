"""What differs between databases, as values: how to connect, what to say, how to read what comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from goque.errors import ConfigurationError
from goque.outcome import Change
from goque.storage.contract import DueLevel, Watcher
from goque.storage.instants import due_at
from goque.storage.sql import steps as ask
from goque.storage.sql.caller_connection import kind_of
from goque.storage.sql.connections import ConnectionPool, Connections, SecondConnection
from goque.storage.sql.limits.key_queries import KeyQueries
from goque.storage.sql.session import Row, Session
from goque.storage.sql.statements.complete import Statements
from goque.storage.sql.steps import Steps
from goque.task import Task
from goque.task_row import TaskRow

ResultT = TypeVar("ResultT")


class Dialect(ABC):
    """One kind of database at one address.

    Attributes:
        name: the folder of its migrations.
        url: where it is, with the password hidden.
        sql: its statements.
        keys: how it walks the limit keys of a type.
        locks_by_writing: whether each claim by limits writes the row of its type, since a lock of it holds on one
            server of several only.
        creates_schema: whether its schema is created at first use, instead of by `goque migrate`.
        one_writer: whether a transaction that writes keeps out all others.
        needs_claim_cursor: whether what was claimed stays in the index of claims until a vacuum.
        copies: whether it has a faster way in for many tasks at once, which stops at one whose place is taken.
        conflicts_abort: whether an insert that meets a row newer than the caller's snapshot ends the transaction.
        inserts_at_once: how many tasks one statement inserts.
        moves_at_once: how many tasks one statement moves.
        largest_batch: how many characters a batch of moves has at most.
        now_text: SQL of the present as the ledger of migrations has it.
        script_begin: what a script of migrations begins with, so that it is applied as a whole where that can be.
        script_end: what it ends with.
        clock: what time it is, in place of the database's clock; None but in tests.
        watched: the tasks whose end is to be announced, because somebody is known to wait for it.
    """

    name: ClassVar[str]
    creates_schema: ClassVar[bool]
    now_text: ClassVar[str] = "CURRENT_TIMESTAMP"
    script_begin: ClassVar[str] = "BEGIN;"
    script_end: ClassVar[str] = "COMMIT;"
    one_writer: ClassVar[bool] = False
    copies: ClassVar[bool] = False
    needs_claim_cursor: ClassVar[bool] = False
    conflicts_abort: ClassVar[bool] = False
    locks_by_writing: ClassVar[bool] = False
    inserts_at_once: ClassVar[int] = 5000
    moves_at_once: ClassVar[int] = 5000
    largest_batch: int = 64 * 1024 * 1024
    clock: Callable[[], datetime] | None = None
    watched: Any = ()
    sql: Statements
    keys: KeyQueries
    url: str

    def exists(self) -> bool:
        """Return whether there is something to connect to; a server is taken to be there."""
        return True

    @abstractmethod
    def connect(self) -> Session:
        """Open a connection of our own.

        Raises:
            DatabaseUnavailableError: there is no database to reach, or it cannot be used.
        """

    def pool(self) -> ConnectionPool | None:
        """Return where threads find a connection while another has the first, or None to let them wait."""
        return None

    def second_connection(self) -> SecondConnection | None:
        """Return where a fetcher's second thread finds one, None if there is none before it listens, or never."""
        return None

    @abstractmethod
    def wrap(self, conn: Any) -> Session:
        """Wrap a connection of the caller's, who goes on owning its transaction.

        Raises:
            ConfigurationError: it is not a connection to this kind of database.
        """

    async def join(self, conn: Any, steps: Steps[ResultT], *, writes: bool) -> ResultT:
        """Run steps in the transaction of the caller's asyncio connection.

        Raises:
            ConfigurationError: it is not an asyncio connection to this kind of database.
        """
        del steps, writes
        raise ConfigurationError(
            f"conn is a {kind_of(conn)}, and goque supports no asyncio connection to {self.url}; "
            "give a synchronous connection, which goque uses in a thread"
        )

    @abstractmethod
    def watch(self, connections: Connections, types: Sequence[str]) -> Watcher:
        """Make a watcher that tells when another connection may have written tasks of these types."""

    @abstractmethod
    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""

    def forget(self) -> None:
        """Forget what was learnt about the database; the storage was closed."""
        return

    # -- statements that some databases need several of, or another shape ------------------------------

    def is_task_id(self, text: str) -> bool:
        """Return whether a text can be the id of a task; it need not be one."""
        del text
        return True

    def may_be_claimed(self, rows: Sequence[Row]) -> bool:
        """Return whether rows that `claim_due` has changed are those of tasks that goque claims.

        Columns with types leave no doubt. SQLite has none, and looks here for what would be slow to ask in SQL.
        """
        del rows
        return True

    def due_priorities(
        self, session: Session, task_type: str, priority: int | None = None
    ) -> Iterable[int | None]:
        """Return the priorities that have a due task, highest first: `claim_due` runs once for each.

        Args:
            session: the connection.
            task_type: the type.
            priority: look at this priority only; None for all.
        """
        params = {"task_type": task_type, "priority": priority}
        return [row[0] for row in session.rows(self.sql.due_priorities, params)]

    def due_levels(self, session: Session, asked: Mapping[str, Sequence[Any]]) -> list[DueLevel]:
        """Return when the first task of each type and priority is due.

        Args:
            session: the connection.
            asked: the types, each with the keys of the tasks that do not count.
        """
        past = [key for keys in asked.values() for key in keys]
        params = {"types": self.encode_list(list(asked)), "past": self.encode_list(past)}
        return self.read_levels(session.rows(self.sql.due_levels, params))

    def read_levels(self, rows: Iterable[Row]) -> list[DueLevel]:
        """Read levels from rows of type, priority, the time when the first task is due (None if one is), and now."""
        levels = []
        for task_type, priority, due, now in rows:
            wait = 0.0 if due is None else (self.read_time(due) - self.read_time(now)).total_seconds()
            if due is None or wait > 0:  # else the time cannot be read, and the task is never due
                levels.append(DueLevel(self.read_text(task_type), priority, wait))
        return levels

    def next_due(self, session: Session, task_type: str) -> Iterable[datetime]:
        """Return when the next unclaimed task of each priority is due."""
        return [self.read_time(row[0]) for row in session.rows(self.sql.next_due, {"task_type": task_type})]

    def insert_one(self, task: Task) -> Steps[tuple[datetime, datetime] | None]:
        """Insert a task and return when it was created and is due; None if its place is taken."""
        now = yield ask.NOW
        if not (yield ask.run(self.sql.insert_task, self.task_params(task, now))):
            return None
        return now, due_at(task, now)

    def insert_batch(self, tasks: Sequence[Task]) -> Steps[set[str]]:
        """Insert the tasks whose places are free and return their ids."""
        batch = self.encode_tasks(tasks, (yield ask.NOW))
        rows = yield ask.rows(self._insert_statement(tasks), {"batch": batch})
        return {self.read_text(row[0]) for row in rows}

    def _insert_statement(self, tasks: Sequence[Task]) -> str:
        """Return the statement that inserts these tasks; for those without keys there is a shorter one."""
        if any(
            task.unique_key is not None or task.stored_limit_key is not None or task.flags for task in tasks
        ):
            return self.sql.insert_keyed_tasks
        return self.sql.insert_tasks

    @abstractmethod
    def is_duplicate(self, error: Exception) -> bool:
        """Return whether an error means that a unique index refused a statement."""

    def is_unseen_conflict(self, error: Exception) -> bool:
        """Return whether an error means that an insert met a row that is newer than the caller's snapshot."""
        del error
        return False

    def copy_tasks(self, session: Session, tasks: Sequence[Task]) -> None:
        """Insert tasks the faster way, where the dialect `copies`.

        Raises:
            PlaceTakenError: one of them is in the table already; the transaction cannot go on.
        """
        raise NotImplementedError

    def announce(self, task_types: set[str]) -> Steps[None]:
        """Wake up who waits for tasks of these types, when the transaction commits."""
        del task_types
        yield from ()

    def notify_finished(self, session: Session, task_ids: Iterable[str]) -> None:
        """Wake up who waits for the end of these tasks, when the transaction commits."""
        del session, task_ids

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Have `call` called when a task has ended, for the length of a block: nobody tells, unless overridden."""
        del task_id, task_type, call
        return nullcontext(lambda: False)

    def nudge(self, task_types: Collection[str]) -> None:
        """Wake up who waits on this machine, now that the transaction is committed or left to the caller."""
        del task_types

    # -- values ------------------------------------------------------------------------------------

    @abstractmethod
    def time(self, instant: datetime) -> Any:
        """Turn an aware datetime into a parameter."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """Read an instant from a row; never fails."""

    @abstractmethod
    def read_text(self, value: Any) -> str:
        """Read text from a row; never fails."""

    def read_optional_text(self, value: Any) -> str | None:
        """Read text from a row, or None for NULL; never fails."""
        return None if value is None else self.read_text(value)

    @abstractmethod
    def read_task(self, row: Row) -> TaskRow:
        """Read a task from a row; never fails on what the row holds."""

    @abstractmethod
    def task_params(self, task: Task, now: datetime) -> dict[str, Any]:
        """Return the parameters of `insert_task`."""

    @abstractmethod
    def encode_tasks(self, tasks: Sequence[Task], now: datetime) -> Any:
        """Return the `:batch` of `insert_tasks`."""

    @abstractmethod
    def encode_claims(self, claims: Mapping[str, int]) -> Any:
        """Return the `:batch` of claims: task id to the number of the claim."""

    @abstractmethod
    def encode_moves(self, changes: Iterable[Change], now: datetime) -> Any:
        """Return the `:batch` of `settle_moves`."""

    @abstractmethod
    def encode_list(self, values: Sequence[str]) -> Any:
        """Return a `:batch` of texts."""
