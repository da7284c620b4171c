"""What tests need of a database beside the contract."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from goque.storage.sql.dialect import Dialect
from goque.storage.sql.migrate import split_statements
from goque.storage.sql.storage import SqlStorage

START = datetime(2026, 11, 23, 21, 2, 33, 123456, tzinfo=UTC)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Backend(ABC):
    """A database of a test's own, with a clock that the test moves."""

    name: ClassVar[str]
    driver: ClassVar[str]
    asyncio_driver: ClassVar[str]
    url: str
    sqlalchemy_url: str
    sqlalchemy_asyncio_url: str

    def __init__(self) -> None:
        self.clock = Clock()
        self._open: list[SqlStorage] = []

    def new_storage(self, *, patience: float = 30.0, **options: Any) -> SqlStorage:
        """Open a storage on a connection of its own, as another process would."""
        storage = SqlStorage(self.dialect(**options), patience=patience)
        self._open.append(storage)
        return storage

    @abstractmethod
    def dialect(self, **options: Any) -> Dialect:
        """Make the dialect of this database, with the test's clock."""

    @abstractmethod
    def connect(self) -> Any:
        """Open a plain connection of the driver's, as an application would."""

    @abstractmethod
    def django_settings(self) -> dict[str, Any]:
        """Return what Django's DATABASES holds for this database."""

    @abstractmethod
    async def connect_asyncio(self, *, autocommit: bool = False) -> Any:
        """Open a connection of the asyncio driver's."""

    @abstractmethod
    def connect_autocommit(self) -> Any:
        """Open one that has no transactions."""

    @abstractmethod
    def rows_as_mappings(self, connection: Any) -> None:
        """Make a connection of the driver's return its rows as mappings."""

    @abstractmethod
    def indexes(self) -> set[str]:
        """Return the names of the indexes of goque_task."""

    @abstractmethod
    def column_types(self) -> list[tuple[str, str]]:
        """Return the columns of goque_task with their types, in their order."""

    def time(self, instant: datetime) -> Any:
        """Return an instant as a parameter of `execute`."""
        return instant

    @abstractmethod
    def execute(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        """Run raw SQL behind goque's back; parameters are written `:name`."""

    @abstractmethod
    def run_script(self, text: str) -> None:
        """Run a whole script as the client of the database would that it is piped into."""

    def script(self, sql: str) -> None:
        """Run several statements, each ended by a semicolon at the end of a line."""
        for statement in split_statements(sql):
            self.execute(statement)

    def close(self) -> None:
        for storage in self._open:
            storage.close()


def run(connection: Any, sql: str) -> None:
    """Run a statement of the application's."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
