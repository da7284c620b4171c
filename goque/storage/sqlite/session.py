"""A connection to a SQLite file: goque's own, or the caller's."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from goque.storage.instants import later, time_text
from goque.storage.sql.session import DatabaseLockedError, Row, Session
from goque.storage.sqlite.errors import translate

LOCK_SLICE: Final = 2.0
"""Seconds that one attempt waits for another writer. A caller that can wait longer tries again."""

FIRST_NAP: Final = 0.002
"""Seconds of the longest first pause between two attempts to get the write lock."""

Clock = Callable[[], datetime]

_abandoned: Final[list[sqlite3.Connection]] = []


class SqliteSession(Session):
    """A connection of goque's. Outside of `transaction()`, each statement commits by itself.

    It reads texts as bytes, so that no text in the file can raise an error.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        clock: Clock,
        check: Callable[[], None] | None = None,
        lock_slice: float = LOCK_SLICE,
    ) -> None:
        self.connection = connection
        self.path = path
        self._clock = clock
        self._check = check
        self._lock_slice = self._patience = lock_slice
        self._read_clock()

    @property
    def now(self) -> datetime:
        """The host's clock, read when the session was last started."""
        return self._now

    def start(self) -> None:
        """Read the clock, and check that the file still exists."""
        if self._check is not None:
            self._check()
        self._read_clock()

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows."""
        try:
            return self.connection.execute(sql, self._bind(params)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    def run(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement and return how many rows it changed."""
        try:
            return self.connection.execute(sql, self._bind(params)).rowcount
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    def run_many(self, sql: str, params: Iterable[Mapping[str, Any]]) -> int:
        """Run a statement once for each set of parameters and return how many rows they changed."""
        try:
            return self.connection.executemany(sql, map(self._bind, params)).rowcount
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction and take the write lock at once: a later upgrade would ignore the busy timeout."""
        self._begin()
        self._read_clock()  # after the wait for the lock, so that the times follow the order of the transactions
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the caller needs the first error
                self.connection.rollback()
            raise

    @contextmanager
    def statement_timeout(self, seconds: float) -> Iterator[None]:
        """Wait at most this long for another writer."""
        if seconds >= self._lock_slice:
            yield
            return
        self._wait_for_writers(seconds)
        try:
            yield
        finally:
            self._wait_for_writers(self._lock_slice)

    def _wait_for_writers(self, seconds: float) -> None:
        self._patience = seconds
        self._let_sqlite_wait(seconds)

    def _let_sqlite_wait(self, seconds: float) -> None:
        self.rows(f"PRAGMA busy_timeout = {int(seconds * 1000)}")  # a pragma takes no parameters

    def _begin(self) -> None:
        """Wait for the write lock, and try again after short pauses.

        SQLite's own pauses grow to 100 ms. Beside a fetcher that writes all the time, a process with such pauses hardly
        ever finds the lock free, so a second supervisor would get no work.
        """
        began = time.monotonic()
        self._let_sqlite_wait(0)
        try:
            while True:
                try:
                    self.run("BEGIN IMMEDIATE")
                except DatabaseLockedError:
                    waited = time.monotonic() - began
                    if waited >= self._patience:
                        raise
                    time.sleep(random.uniform(0, FIRST_NAP + waited / 200))  # noqa: S311 - spreads those who wait
                else:
                    return
        finally:
            self._let_sqlite_wait(self._patience)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def abandon(self) -> None:
        """Keep the parent's connection open and unused: closing it here could release the parent's locks."""
        _abandoned.append(self.connection)

    def _read_clock(self) -> None:
        self._now = self._clock()
        text = time_text(self._now)
        self._clock_texts = {"now": text, "upper": f"{text[:19]}Z"}

    def _bind(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        bound: dict[str, Any] = {**self._clock_texts, **(params or {})}
        if "age" in bound:
            bound["before"] = time_text(later(self._now, -bound["age"]))
        return bound


class CallerSession(SqliteSession):
    """The caller's connection, in the caller's transaction. Its settings are restored after each statement."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement and return all its rows as plain tuples of bytes and numbers."""
        text_factory = self.connection.text_factory
        try:
            with closing(self.connection.cursor()) as cursor:
                cursor.row_factory = None
                self.connection.text_factory = bytes
                return cursor.execute(sql, self._bind(params)).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        finally:
            self.connection.text_factory = text_factory

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Join the caller's transaction. If there is none, begin it where Python would at the first write."""
        try:
            isolation, in_transaction = self.connection.isolation_level, self.connection.in_transaction
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        if not in_transaction and isolation is not None and self._python_begins():
            self.run(f"BEGIN {isolation}")
        yield

    def close(self) -> None:
        """Leave the connection open: it is the caller's."""

    def _python_begins(self) -> bool:
        try:
            mode = getattr(self.connection, "autocommit", -1)
        except sqlite3.Error as error:
            raise translate(error, self.path) or error from error
        return bool(mode == -1)  # sqlite3.LEGACY_TRANSACTION_CONTROL, from 3.12
