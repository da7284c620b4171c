"""Empties the database of a test suite, so that each test begins without tasks."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Final

from goque.errors import ConfigurationError, GoqueError
from goque.storage import open_storage
from goque.storage.contract import NodeRow
from goque.storage.sql.call_policy import PATIENT_WRITE
from goque.storage.sql.migrate import TABLES
from goque.storage.sql.session import Session
from goque.storage.sql.storage import SqlStorage

SILENT_AFTER: Final = 30.0
"""Seconds without a heartbeat after which a supervisor is taken for dead: the default of `--node-timeout`."""


def empty(url: str) -> None:
    """Delete all rows of goque from a database: tasks, attempts, schedules, nodes and policies.

    The tables stay, and so does everything that is not goque's. All rows are deleted in one transaction.

    Args:
        url: the database's URL. It must be given, so that no test empties what `GOQUE_DATABASE_URL` names by accident.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
        SchemaError: a server has no tables of goque yet: run `goque migrate`, or use the fixtures of the pytest plugin.
        DatabaseUnavailableError: the database does not answer, or others keep the rows locked.
        GoqueError: a supervisor runs on this database. Then nothing is deleted.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(f"empty() needs the URL of a database, not {url!r:.80}")
    storage = open_storage(url)
    assert isinstance(storage, SqlStorage)
    try:
        storage.require_schema()
        for node in storage.nodes():
            if is_running(node, datetime.now(UTC)):
                raise GoqueError(
                    f"{storage.url} is not emptied: a supervisor runs on it, pid {node.pid} on {node.host}; "
                    "stop it first, or name the database of your tests"
                )
        storage._run(_delete_all, PATIENT_WRITE)  # noqa: SLF001 - only for tests, so not public
    finally:
        storage.close()


def is_running(node: NodeRow, now: datetime) -> bool:
    """Return whether a supervisor still runs, as far as its row and this machine's processes show.

    One that was killed on this machine, perhaps by a test, is not running, though its last heartbeat may be recent.
    """
    if node.state != "alive" or (now - node.heartbeat_at).total_seconds() > SILENT_AFTER:
        return False
    if node.host != socket.gethostname():
        return True
    try:
        os.kill(node.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it belongs to another user
    return True


def _delete_all(session: Session) -> None:
    for table in TABLES:
        session.run(f"DELETE FROM {table}")  # noqa: S608 - a name from the list
