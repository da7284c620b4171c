"""What differs between databases, as values: how to connect, what to say, how to read what comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from goque.errors import DatabaseUnavailableError
from goque.outcome import Change
from goque.storage.statements import Statements
from goque.storage.storage import Watcher
from goque.task import Task, TaskRow

if TYPE_CHECKING:
    from goque.storage.connections import Connections

Row = Sequence[Any]


class DatabaseLockedError(DatabaseUnavailableError):
    """Another writer holds the database; the same call may succeed a moment later."""


class Session(ABC):
    """One connection, used by one thread at a time; every error of the driver's leaves it as goque's.

    Attributes:
        now: the database's clock, read when the session was last started.
    """

    now: datetime

    @abstractmethod
    def start(self) -> None:
        """Read the clock, and make sure that the database is still the one that was opened."""

    @abstractmethod
    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows; `:now`, and `:before` where `age` is given, are added."""

    @abstractmethod
    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""

    @abstractmethod
    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each set of parameters."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Open a transaction that may write, and commit it at the end of the block or roll it back."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget a connection that another process, the parent before a fork, goes on using."""


class Dialect(ABC):
    """One kind of database at one address.

    Attributes:
        name: the folder of its migrations.
        url: where it is, with the password hidden.
        sql: its statements.
        creates_schema: whether its schema is created at first use, instead of by `goque migrate`.
    """

    name: ClassVar[str]
    creates_schema: ClassVar[bool]
    sql: ClassVar[Statements]
    url: str

    @abstractmethod
    def connect(self) -> Session:
        """Open a connection of our own.

        Raises:
            DatabaseUnavailableError: there is no database to reach, or it cannot be used.
        """

    @abstractmethod
    def adopt(self, conn: Any) -> Session:
        """Wrap a connection of the caller's, who goes on owning its transaction.

        Raises:
            ConfigurationError: it is not a connection to this kind of database.
        """

    @abstractmethod
    def watch(self, connections: Connections) -> Watcher:
        """Make a watcher that tells when another connection has written."""

    @abstractmethod
    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""

    @abstractmethod
    def forget(self) -> None:
        """Forget what was learnt about the database; the storage was closed."""

    @abstractmethod
    def time(self, instant: datetime) -> Any:
        """Turn an aware datetime into a parameter."""

    @abstractmethod
    def read_time(self, value: Any) -> datetime:
        """Read an instant from a row; never fails."""

    @abstractmethod
    def read_text(self, value: Any) -> str:
        """Read text from a row; never fails."""

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
