"""Storage: the contract, and the backends that keep it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from goque.storage.storage import TaskStorage
from goque.storage.url import refuse_server, scheme_of, sqlite_path

__all__ = ["TaskStorage", "open_storage"]

_log: Final = logging.getLogger("goque.storage")
_announced: Final[set[str]] = set()


def open_storage(url: str) -> TaskStorage:
    """Return the storage that a URL names; it connects when it is first asked for something.

    Args:
        url: `sqlite:///relative.db` (to the current directory, now) or `sqlite:////absolute.db`.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
    """
    if scheme_of(url) != "sqlite":
        raise refuse_server(url)
    from goque.storage.sql_storage import SqlStorage  # noqa: PLC0415 - a URL is checked before anything is loaded
    from goque.storage.sqlite import SqliteDialect  # noqa: PLC0415 - the same: drivers load when they are named

    path = str(Path(sqlite_path(url)).absolute())
    if path not in _announced:
        _announced.add(path)
        _log.info("SQLite database %s", path)
    return SqlStorage(SqliteDialect(path))
