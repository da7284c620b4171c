"""Translate the errors of MySQL and MariaDB into goque's, by what the caller can do about them."""

from __future__ import annotations

import re
from typing import Final

import pymysql

from goque.errors import DatabaseUnavailableError, GoqueError, InvalidPayloadFormatError, SchemaError
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError, NotWritableError

NO_DATABASE: Final = 1049
DUPLICATE: Final = 1062
EXISTS_ALREADY: Final = frozenset({1060, 1061})
"""The column or index exists already: an earlier migration was interrupted before it was recorded."""

LOCKED: Final = {
    1205: "another transaction holds what this one needs",
    1213: "two transactions waited for each other (deadlock)",
    1020: "another transaction changed what this one read",
    1614: "two transactions waited for each other (deadlock)",
    3024: "the statement took too long and was ended",
    1317: "the statement was killed on the server",
    1969: "the statement took too long and was ended",
    3101: "another node changed what this one changed",
}
READ_ONLY: Final = 1290
"""An option of the server forbids a statement: nearly always read_only, and the text names it."""

NOT_WRITABLE: Final = frozenset({READ_ONLY, 1792, 1836, 1874, 1047})
"""The answers of a server that is not the primary. Another server may be."""

COMMIT_FAILED: Final = frozenset({1180, 3100})
"""The answers of a Galera or Group Replication node that has just lost its group. The commit may have taken effect."""

LOST: Final = frozenset({2006, 2013, 2014, 2055, 1053, 1927, 1158, 1159, 1160, 1161, 4031})
UNAVAILABLE: Final = {
    1040: "has no free connection; raise max_connections",
    1203: "has no free connection for this user; raise max_user_connections",
    1226: "has reached a limit of this user; raise max_user_connections, or the limits of the account",
    1044: "does not let this user use the database; grant it the rights",
    1045: "refuses the user or the password; check them in the URL",
    1698: "refuses the user or the password; check them in the URL",
    1049: "has no such database; create it, or name another one in the URL",
    1130: "refuses connections from this host; grant the user access from here",
    1142: "does not let this user do that; grant it the rights on goque's tables",
    1143: "does not let this user do that; grant it the rights on goque's tables",
    1227: "does not let this user do that; grant it the rights on goque's tables",
    READ_ONLY: "takes no writes (read_only, as a replica has it); name the primary in the URL",
    1792: "takes no writes (a read-only transaction); name the primary in the URL",
    1836: "takes no writes (read_only); name the primary in the URL",
    1874: "takes no writes (innodb_read_only); name the primary in the URL",
    1047: "takes no statements (a Galera node without a quorum, or not in step yet); try again",
    1021: "has a full disk; free some space",
    1114: "has a full disk or tablespace; free some space",
    1037: "is out of memory; see the server's log",
    1038: "has too little memory to sort; raise sort_buffer_size",
}
SCHEMA: Final = frozenset({1046, 1146, 1054, 1176})
TOO_LARGE: Final = 1153
_FORBIDS: Final = re.compile("with the (.*?) option")
_WRONGLY_NAMED: Final = {"NO_ENGINE_SUBSTITUTION": "an enforce_storage_engine other than InnoDB"}
_IS_READ_ONLY: Final = re.compile("read.only")


def translate(error: pymysql.Error, where: str) -> GoqueError | None:
    """Return the error that a caller can act on, or None for a bug or bad data: the driver's error is raised then."""
    code, said = _code(error), _first_line(error)
    if code in LOCKED:
        return DatabaseLockedError(f"{where}: {LOCKED[code]}; try again")
    if code in UNAVAILABLE:
        return _unavailable(code, said, where)
    if code in SCHEMA:
        return SchemaError(f"{where} lacks goque's tables ({said}); run `goque migrate`")
    if code == TOO_LARGE:
        return InvalidPayloadFormatError(
            f"{where} rejects a statement of this size; raise max_allowed_packet"
        )
    if code in LOST | COMMIT_FAILED or (
        code == 0 and isinstance(error, pymysql.InterfaceError | pymysql.OperationalError)
    ):
        what = "could not commit" if code in COMMIT_FAILED else "closed the connection"
        return ConnectionLostError(f"{where} {what} ({said}); try again")
    return None


def _unavailable(code: int, said: str, where: str) -> DatabaseUnavailableError:
    if code == READ_ONLY and (option := _FORBIDS.search(said)) and not _IS_READ_ONLY.search(option[1]):
        name = _WRONGLY_NAMED.get(option[1], option[1])
        return DatabaseUnavailableError(
            f"{where} runs with {name}, which forbids a statement of goque's; change that option"
        )
    kind = NotWritableError if code in NOT_WRITABLE else DatabaseUnavailableError
    return kind(f"{where} {UNAVAILABLE[code]}")


def refused(error: Exception, where: str) -> DatabaseUnavailableError:
    """Explain why no connection was made."""
    code = _code(error)
    said = _first_line(error)
    if missing := code == NO_DATABASE and re.search("Unknown database '(.*)'", said):
        return DatabaseUnavailableError(
            f"{where}: the server has no database '{missing[1]}'; create it, or name another one in the URL"
        )
    if code in UNAVAILABLE:
        return DatabaseUnavailableError(f"{where} {UNAVAILABLE[code]}")
    hint = "; is the server up, are host and port right?" if "Connection refused" in said else ""
    return DatabaseUnavailableError(f"{where} cannot be reached: {said}{hint}")


def _code(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _first_line(error: Exception) -> str:
    text = str(error.args[-1]) if error.args else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
