"""The interface of a database connection, and its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Final

from goque.errors import DatabaseUnavailableError

Row = Sequence[Any]

_NO_FRAME: Final = nullcontext()


class DatabaseLockedError(DatabaseUnavailableError):
    """Another writer holds the database; the same call may succeed a moment later."""


class ConnectionLostError(DatabaseUnavailableError):
    """The connection broke during a call, so it is unknown whether the last statement took effect."""


class CommitUnansweredError(ConnectionLostError):
    """The server has not answered a commit, so the commit may still take effect."""


class PlaceTakenError(Exception):
    """A copy of many tasks failed, because the table already has one with the same id, or type and external id."""


class NotWritableError(ConnectionLostError):
    """This server accepts no writes now. Nothing took effect, and another server may accept the statement."""


class Session(ABC):
    """One connection, used by one thread at a time. It turns the driver's errors into goque's."""

    @property
    @abstractmethod
    def now(self) -> datetime:
        """The database's clock, the same from the start of a transaction to its end."""

    @abstractmethod
    def start(self) -> None:
        """Read the clock, and make sure that the database is still the one that was opened."""

    @abstractmethod
    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows; `:now`, and `:before` where `age` is given, are added."""

    @abstractmethod
    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""

    @property
    def changed(self) -> int | None:
        """How many rows the last statement really changed, or None if the caller must read the rows to know."""
        return None

    def changes_all(self, sql: str, params: Mapping[str, Any], number: int) -> bool:
        """Run a statement and return whether it has changed this number of rows; if not, roll back."""
        return self.run(sql, params) == number

    @abstractmethod
    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows they changed."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Open a transaction that may write. Commit at the end of the block, or roll back after an exception."""

    def pinned_read(self) -> AbstractContextManager[None]:
        """Open a block of reads with pinned plans, which do not depend on statistics."""
        return nullcontext()

    def pinned_transaction(self) -> AbstractContextManager[None]:
        """Open a transaction with pinned plans, for the frequent writes of the tree."""
        return self.transaction()

    def autocommit(self) -> AbstractContextManager[None]:
        """Open a block for one frequent change, which may commit by itself."""
        return self.pinned_transaction()

    def statement(self) -> AbstractContextManager[None]:
        """Open a block for one change of an application, which commits by itself."""
        return _NO_FRAME

    def statement_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Open a block in which each statement waits at most this long for the database."""
        del seconds
        return nullcontext()

    def long_read(self) -> AbstractContextManager[None]:
        """Open a block for a statement that may read a whole table."""
        return nullcontext()

    def migrating(self) -> AbstractContextManager[None]:
        """Open a transaction that changes the schema, and keep other migrations waiting."""
        return self.transaction()

    def migrate(self, statement: str) -> None:
        """Run a statement of a migration."""
        self.run(statement)

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget a connection without closing it, because the parent process still uses it after a fork."""

    def outside(self, call: Callable[[], Any]) -> Any:
        """Return what a call returns that uses another connection."""
        return call()

    def awaits_answer(self) -> bool:
        """Return whether a commit was sent on this connection and is not answered yet."""
        return False

    def await_answer(self) -> None:
        """Wait a while for the answer to that commit.

        Raises:
            CommitUnansweredError: there is no answer yet.
            DatabaseUnavailableError: the connection broke, so it is unknown whether the commit took effect.
        """
        return

    def sees_waiting_for_standby(self, other: Session) -> bool:
        """Return whether the commit of another session waits for a synchronous standby."""
        del other
        return False

    def is_usable(self) -> bool:
        """Return whether the connection can be used again. After an exception, a statement may be unfinished."""
        return True
