"""A connection as storages use it, and what can go wrong with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Final

from goque.errors import DatabaseUnavailableError

Row = Sequence[Any]

_NO_FRAME: Final = nullcontext()


class DatabaseLockedError(DatabaseUnavailableError):
    """Another writer holds the database; the same call may succeed a moment later."""


class ConnectionLostError(DatabaseUnavailableError):
    """The connection broke while it was used: whether the last statement took effect is not known."""


class CommitUnansweredError(ConnectionLostError):
    """The server has not answered a commit: it may still take effect, so it is neither done nor undone."""


class PlaceTakenError(Exception):
    """A task whose type and external id, or id, are in the table already stopped a copy of many."""


class NotWritableError(ConnectionLostError):
    """This server takes no writes, at least not now. Nothing took effect, and another server may take it."""


class Session(ABC):
    """One connection, used by one thread at a time; every error of the driver's leaves it as goque's."""

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
        """How many rows the last statement made different, None if they must be looked at to know."""
        return None

    @abstractmethod
    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows that changed."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Open a transaction that may write, and commit it at the end of the block or roll it back."""

    def pinned_read(self) -> AbstractContextManager[None]:
        """Frame statements that only read, and whose plans must hold whatever the statistics say."""
        return nullcontext()

    def pinned_transaction(self) -> AbstractContextManager[None]:
        """Open a transaction for what the tree does all the time, with its plans pinned."""
        return self.transaction()

    def autocommit(self) -> AbstractContextManager[None]:
        """Frame one hot change that may commit by itself."""
        return self.pinned_transaction()

    def statement(self) -> AbstractContextManager[None]:
        """Frame one change of an application's that commits by itself."""
        return _NO_FRAME

    def statement_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """Frame statements that may wait so long for the database each, where they would wait longer else."""
        del seconds
        return nullcontext()

    def long_read(self) -> AbstractContextManager[None]:
        """Frame a statement that may read a whole table."""
        return nullcontext()

    def migrating(self) -> AbstractContextManager[None]:
        """Open a transaction that changes the schema while no other process does."""
        return self.transaction()

    def migrate(self, statement: str) -> None:
        """Run a statement of a migration."""
        self.run(statement)

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget a connection that another process, the parent before a fork, goes on using."""

    def awaits_answer(self) -> bool:
        """Return whether a commit was sent whose answer is still to come, on this connection."""
        return False

    def await_answer(self) -> None:
        """Wait a while for the answer to that commit.

        Raises:
            CommitUnansweredError: it has still not come.
            DatabaseUnavailableError: the connection broke, so whether the commit took effect is not known.
        """
        return

    def sees_waiting_for_standby(self, other: Session) -> bool:
        """Return whether the commit of another session waits for a synchronous standby."""
        del other
        return False

    def is_usable(self) -> bool:
        """Return whether the connection can be used again: an exception may have left it amid a statement."""
        return True
