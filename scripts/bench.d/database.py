"""A database that one workload has to itself, and the bare SQL that does the same work as goque: the floors.

Floors use the same schema and indexes, the same durability, one connection, and the best plan that can be pinned.
They decode no payload, guard no claim, tell nobody of new tasks and run no handler.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import goque
from goque.identifiers import internal_id, new_task_id

NewRow = tuple[str, str]
BATCH: Final = 1000


@dataclass(frozen=True)
class Backend:
    """One kind of database.

    Attributes:
        name: as in the keys of the report, such as `postgresql`.
        database: makes a fresh database: a server's URL or a directory, as text, is its argument.
        where: that argument; None where each workload has a directory of its own.
        bulk: how the floor of `enqueue_bulk` inserts.
    """

    name: str
    database: type[Database]
    where: str | None
    bulk: str

    @contextmanager
    def empty(self, directory: Path) -> Iterator[Database]:
        """Make a database without a table, and drop it afterwards."""
        database = self.database(self.where or str(directory))
        try:
            yield database
        finally:
            database.drop()

    @contextmanager
    def fresh(self, directory: Path) -> Iterator[Database]:
        """Make a database with goque's schema and connect to it, and drop it afterwards."""
        with self.empty(directory) as database:
            with closing(goque.open_storage(database.url)) as storage:
                storage.migrate()
            with database:
                yield database


class Database(ABC):
    """A database, and in a with block a connection of the driver's to it.

    Attributes:
        url: as goque is told.
        connection: in autocommit; a transaction is begun by `transaction()`.
        filled: how many tasks `fill` has made.
    """

    insert: ClassVar[str]
    """One new task of type noop, from an id and an external id."""
    claim: ClassVar[str]
    nothing_left: ClassVar[str]
    last_move: ClassVar[str]
    finished_since: ClassVar[str]
    fill_sql: ClassVar[str]
    clear: ClassVar[str] = "TRUNCATE TABLE goque_task"

    url: str
    connection: Any
    filled: int = 0

    def __init__(self, where: str) -> None:
        self.name = f"goque_bench_{uuid.uuid4().hex[:12]}"
        self.create(where)

    def __enter__(self) -> Self:
        self.connection = self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    # -- what differs ------------------------------------------------------------------------------

    @abstractmethod
    def create(self, where: str) -> None:
        """Make the database, empty, and set `url`."""

    @abstractmethod
    def drop(self) -> None:
        """Remove it."""

    @abstractmethod
    def connect(self) -> Any:
        """Open a connection of the driver's, tuned as goque's own are."""

    @abstractmethod
    def rows(self, sql: str, params: Any = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""

    @abstractmethod
    def transaction(self) -> Any:
        """Return a context manager that begins a transaction of `connection` and commits it."""

    @abstractmethod
    def insert_many(self, rows: list[NewRow]) -> None:
        """Insert tasks in one transaction by the fastest way in."""

    @abstractmethod
    def claim_batch(self, limit: int) -> list[Any]:
        """Claim tasks in one transaction, and return what `finish_batch` finds them by."""

    @abstractmethod
    def finish_batch(self, claimed: list[Any]) -> None:
        """Finish tasks in one transaction."""

    @abstractmethod
    def now(self) -> float:
        """Return the clock that rows are dated by, in seconds since the epoch."""

    @abstractmethod
    def analyze(self) -> None:
        """Bring the planner's statistics up to date."""

    @abstractmethod
    def keep_statistics(self) -> None:
        """Gather the planner's statistics of the table as it is now, and keep them until `analyze`."""

    # -- what does not -----------------------------------------------------------------------------

    def insert_one(self, row: NewRow) -> None:
        """Insert a task in a transaction of its own."""
        self.rows(self.insert, row)

    def claim_and_finish(self, batch: int = BATCH) -> None:
        """Claim and finish, batch by batch, until nothing is left."""
        while claimed := self.claim_batch(batch):
            self.finish_batch(claimed)

    def is_drained(self) -> bool:
        """Return whether no task waits or runs."""
        return not self.rows(self.nothing_left)[0][0]

    def last_moved(self) -> float:
        """Return when a task was last moved, by `now()`."""
        return float(self.rows(self.last_move)[0][0])

    def finished_between(self, since: float) -> tuple[int, float, float]:
        """Return how many tasks were finished after an instant, and when the first and the last of them were."""
        ((count, first, last),) = self.rows(self.finished_since, (since,))
        return int(count), float(first or 0), float(last or 0)

    def fill(self, status: str, count: int, *, priorities: int = 1, due_in: float = 0.0) -> None:
        """Insert tasks of type noop by SQL alone, made one after the other from an hour ago on, 2 ms apart.

        Args:
            status: `new`, or `done` for tasks finished a second after they were made.
            count: how many.
            priorities: how many different ones, around 0.
            due_in: seconds from when each was made to when it is due.
        """
        for start in range(0, count, 100_000):
            size = min(100_000, count - start)
            params = {"status": status, "size": size, "priorities": priorities, "due_in": due_in}
            self.rows(self.fill_sql, {**params, "before": self.filled})
            self.filled += size


def new_rows(count: int) -> list[NewRow]:
    """Return an id and an external id for so many tasks."""
    return [(task_id, internal_id(task_id)) for task_id in (new_task_id() for _ in range(count))]


NUMBERS: Final = """
    SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n
    FROM digit AS a CROSS JOIN digit AS b CROSS JOIN digit AS c CROSS JOIN digit AS d CROSS JOIN digit AS e"""
DIGITS: Final = (
    "digit AS (SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
)
"""The numbers from 0 to 99,999 in words that every database understands."""
