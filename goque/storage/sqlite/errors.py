"""What SQLite's errors mean for a caller: wait, migrate, look at the file, or a bug."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from goque.errors import ConfigurationError, DatabaseUnavailableError, GoqueError, SchemaError
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError

_SENTENCES: Final = {
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its directory exists and may be written",
    sqlite3.SQLITE_PERM: "may not be accessed; check its owner and mode",
    sqlite3.SQLITE_READONLY: "may not be written; check the owner and mode of the file and of its directory",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; name another file",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup, or try `sqlite3 FILE .recover`",
    sqlite3.SQLITE_FULL: "cannot grow because the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "cannot be read or written (disk I/O error); check the disk",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
}


def translate(error: sqlite3.Error, path: str) -> GoqueError | None:
    """Return the error that a caller can act on, or None for a bug that must show as it is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseLockedError(f"{path} is locked by another writer; try again when it is done")
    sentence = _SENTENCES.get(code)
    if sentence is not None and Path(path).is_dir():
        sentence = "is a directory; name a file"
    if sentence is not None:
        return DatabaseUnavailableError(f"{path} {sentence}")
    message = str(error)
    if message.startswith("SQLite objects created in a thread"):
        return ConfigurationError(
            "conn may be used in the thread that opened it only: "
            "open it with check_same_thread=False, or through aiosqlite"
        )
    if message == "Cannot operate on a closed database.":
        return ConnectionLostError(f"{path} cannot be reached (the connection is closed); try again")
    if (
        message.startswith(("no such table: goque_", "no such index: goque_", "no such column: "))
        or "has no column named" in message
    ):
        return SchemaError(f"{path} lacks goque's tables ({message}); run `goque migrate`")
    return None
