"""Statements that some databases need several of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LockThenChange:
    """What `UPDATE … RETURNING` does, for a database without it, in one transaction.

    Attributes:
        lock: reads the rows to be returned, and holds them.
        change: changes the rows in `:ids`, the first column of what was read.
        changed: returns which of `:ids` are changed; asked only if the server's count says that some may not be.
    """

    lock: str
    change: str
    changed: str | None = None


@dataclass(frozen=True)
class AllOrNone:
    """A change of a whole batch, for a database that does not return cheaply which rows it has changed.

    If it changes fewer rows than there are in the batch, the transaction is rolled back.

    Attributes:
        change: changes the rows of the batch, and returns nothing.
    """

    change: str


@dataclass(frozen=True)
class ClaimPast:
    """A claim that leaves out the rows in `:past`, and finds out which rows it cannot change.

    Attributes:
        lock: returns the key and the id of up to `:limit` due tasks, and holds them.
        change: claims the rows in `:keys`.
        changed: returns the key, then the columns of a task, of the rows in `:keys` that are claimed now.
    """

    lock: str
    change: str
    changed: str
