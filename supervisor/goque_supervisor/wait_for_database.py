"""How a process of the tree waits for its database when it starts: fetchers and actors use it.

A lock ends by itself, as a bulk load, a backup or a schema change does. A missing file or server does not appear by
itself. So a tree that starts waits for a lock, and ends with exit code 3 if the database is missing. A process that is
started again in a running tree waits for both without end: the database was there, and the other processes go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.sql.session import DatabaseLockedError
from goque_supervisor.ipc.control import DatabaseAway, DatabaseBack, Message

LOCK_PATIENCE: Final = 10.0
"""Seconds to wait for a lock; a call on a locked SQLite file waits for some of them by itself."""

PAUSE: Final = 0.1
PAUSE_WHILE_AWAY: Final = 0.5


def wait_for_database(
    prepare: Callable[[], None],
    pause: Callable[[float], bool],
    send: Callable[[Message], None],
    *,
    patience: float = LOCK_PATIENCE,
    node_is_up: bool = False,
) -> bool:
    """Call `prepare`, and call it again while another writer has the database locked.

    Args:
        prepare: what the process does at its start; when it raises, a part of it may be done.
        pause: waits so many seconds; returns whether to try again.
        send: sends the root a line for the log about the wait.
        patience: seconds after which the next try is the last.
        node_is_up: whether to wait without end, also for a database that is not available.

    Returns:
        Whether `prepare` succeeded; if not, `pause` returned False.

    Raises:
        DatabaseUnavailableError: the database is still locked, or it is not available.
    """
    give_up_at = time.monotonic() + patience
    waiting = False
    while True:
        try:
            prepare()
        except DatabaseUnavailableError as error:
            is_locked = isinstance(error, DatabaseLockedError)
            if not (node_is_up or is_locked) or isinstance(error, SchemaError):
                raise
            if not node_is_up and time.monotonic() >= give_up_at:
                raise
            if not waiting:
                limit = "" if node_is_up else f"up to {patience:g}s "
                send(DatabaseAway(f"waiting {limit}for the database: {error}"))
                waiting = True
        else:
            if waiting:
                send(DatabaseBack())
            return True
        if not pause(PAUSE_WHILE_AWAY if node_is_up else PAUSE):
            return False
