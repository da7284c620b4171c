"""A database for one workload, and the floors: bare SQL that does the same work as goque.

Floors use the same schema and indexes, the same durability, one connection, and the best plan that can be pinned.
They decode no payload, guard no claim, send no notification and run no handler.
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
        name: the name in the keys of the report, such as `postgresql`.
        database: makes a fresh database; the argument is a server's URL or a directory, as text.
        where: that argument; None to use each workload's own directory.
        bulk: the method with which the floor of `enqueue_bulk` inserts.
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
    """A database, and in a with block a driver's connection to it.

    Attributes:
        url: the URL for goque.
        connection: a connection in autocommit mode; `transaction()` begins a transaction.
        filled: the number of tasks that `fill` has made.
    """

    insert: ClassVar[str]
    """Inserts one new task of type noop, from an id and an external id."""
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

    # -- what differs between databases ------------------------------------------------------------

    @abstractmethod
    def create(self, where: str) -> None:
        """Create an empty database and set `url`."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the database."""

    @abstractmethod
    def connect(self) -> Any:
        """Open a driver's connection with the same settings as goque's."""

    @abstractmethod
    def rows(self, sql: str, params: Any = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""

    @abstractmethod
    def transaction(self) -> Any:
        """Return a context manager that begins a transaction of `connection` and commits it."""

    @abstractmethod
    def insert_many(self, rows: list[NewRow]) -> None:
        """Insert tasks in one transaction by the fastest method."""

    @abstractmethod
    def claim_batch(self, limit: int) -> list[Any]:
        """Claim tasks in one transaction, and return their keys for `finish_batch`."""

    @abstractmethod
    def finish_batch(self, claimed: list[Any]) -> None:
        """Finish tasks in one transaction."""

    @abstractmethod
    def now(self) -> float:
        """Return the clock that sets the times in rows, in seconds since the epoch."""

    @abstractmethod
    def analyze(self) -> None:
        """Update the planner's statistics."""

    def vacuum(self) -> None:
        """Tidy the table after a bulk insert, and update the planner's statistics."""
        self.analyze()

    @abstractmethod
    def keep_statistics(self) -> None:
        """Gather the planner's statistics now, and prevent updates of them until `analyze`."""

    # -- what is the same in all databases ---------------------------------------------------------

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
        """Return the time of the last change of a task, on the clock of `now()`."""
        return float(self.rows(self.last_move)[0][0])

    def finished_between(self, since: float) -> tuple[int, float, float]:
        """Return how many tasks finished after an instant, and when the first and the last of them did."""
        ((count, first, last),) = self.rows(self.finished_since, (since,))
        return int(count), float(first or 0), float(last or 0)

    def fill(
        self,
        status: str,
        count: int,
        *,
        priorities: int = 1,
        due_in: float = 0.0,
        types: int = 1,
        age: float = 3600.0,
        apart: float = 0.002,
    ) -> None:
        """Insert tasks by SQL alone. Their type is noop; of several types noop_0, noop_1 and so on.

        Args:
            status: `new`, or `done` for tasks that finished one second after their creation.
            count: the number of tasks.
            priorities: the number of different priorities, around 0.
            due_in: seconds from a task's creation until it is due.
            types: the number of different types.
            age: the age in seconds of the first task that was ever filled in.
            apart: seconds between the creation times of two tasks.
        """
        for start in range(0, count, 100_000):
            size = min(100_000, count - start)
            params = {
                "status": status,
                "size": size,
                "priorities": priorities,
                "due_in": due_in,
                "types": types,
            }
            self.rows(self.fill_sql, {**params, "age": age, "apart": apart, "before": self.filled})
            self.filled += size


def new_rows(count: int) -> list[NewRow]:
    """Return an id and an external id for each of `count` tasks."""
    return [(task_id, internal_id(task_id)) for task_id in (new_task_id() for _ in range(count))]


NUMBERS: Final = """
    SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n
    FROM digit AS a CROSS JOIN digit AS b CROSS JOIN digit AS c CROSS JOIN digit AS d CROSS JOIN digit AS e"""
DIGITS: Final = (
    "digit AS (SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
)
"""The numbers from 0 to 99,999, in SQL that every database accepts."""
