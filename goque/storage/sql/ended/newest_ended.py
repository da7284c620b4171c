"""Find the tasks of some types that ended last, and from which id on these are all that ended so.

A task ends after its id was made. So no task with an id from after an instant ended before that instant. A search by id
can therefore follow the times of ends, however many other tasks have ids between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from goque.storage.instants import EPOCH, later
from goque.storage.search_types import SKEW, first_id_at
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import Session
from goque.task_row import TaskStatus

MAX_READ: Final = 2_000
"""About how many tasks of one status are read, of all types."""

LEAST: Final = 10
"""How many of each type at least."""


class NewestEnded(NamedTuple):
    """The tasks of a status that ended last.

    Attributes:
        ids: their ids, in any order.
        floor: the id from which on these are all; None if that is not known of any.
    """

    ids: list[str]
    floor: str | None


def newest_ended(session: Session, dialect: Dialect, types: Sequence[str], status: TaskStatus) -> NewestEnded:
    """Read the tasks of some types that were the last to end in a status.

    Args:
        session: the session to read in.
        dialect: the kind of database.
        types: the types.
        status: a terminal status.
    """
    statements = dialect.sql.type_counts
    most = max(LEAST, MAX_READ // max(1, len(types)))
    ids: list[str] = []
    latest: datetime | None = None
    for start in range(0, len(types), statements.types_at_once):
        params = statements.params(dialect.encode_list, types[start : start + statements.types_at_once])
        of_type: dict[str, list[datetime | None]] = {}
        for task_type, task_id, ended in session.rows(
            statements.newest_ended, {**params, "status": status.value, "most": most}
        ):
            ids.append(dialect.read_text(task_id))
            instant = None if ended is None else dialect.read_time(ended)
            of_type.setdefault(dialect.read_text(task_type), []).append(instant)
        for instants in of_type.values():
            if len(instants) < most:
                continue
            if instants[-1] is None:
                return NewestEnded(ids, None)
            latest = instants[-1] if latest is None else max(latest, instants[-1])
    return NewestEnded(ids, first_id_at(later(latest, SKEW)) if latest else first_id_at(EPOCH))
