"""A database that another writer holds while a process of the tree starts: worth waiting for, within bounds.

A lock ends by itself, as a bulk load, a backup or a schema change does; a file or a server that is not there does
not. So a tree that starts waits for the one, and ends with exit code 3 because of the other. A process that is
started again in a tree that is up waits for both without end: the database was there, and others run on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.sql.session import DatabaseLockedError

LOCK_PATIENCE: Final = 10.0
"""Seconds; a call on a locked SQLite file waits some of them by itself."""

PAUSE: Final = 0.1
PAUSE_WHILE_AWAY: Final = 0.5


def prepare_unlocked(
    prepare: Callable[[], None],
    pause: Callable[[float], bool],
    log: logging.Logger,
    *,
    patience: float = LOCK_PATIENCE,
    node_is_up: bool = False,
) -> bool:
    """Do what a process does at its start, again and again while another writer is in the way.

    Args:
        prepare: what to do; it may be done in part when it raises.
        pause: waits so many seconds; returns whether to go on.
        log: told once that we wait.
        patience: seconds after which another try is the last.
        node_is_up: whether to wait without end, for a database that is away too.

    Returns:
        Whether it was done; else `pause` said no.

    Raises:
        DatabaseUnavailableError: another writer is in the way then, too, or the database is not there.
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
                log.warning(
                    "waiting %sfor the database: %s", "" if node_is_up else f"up to {patience:g}s ", error
                )
                waiting = True
        else:
            return True
        if not pause(PAUSE_WHILE_AWAY if node_is_up else PAUSE):
            return False
