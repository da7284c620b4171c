"""Translate PostgreSQL's errors into goque's, by what the caller can do about them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import psycopg

from goque.errors import ConfigurationError, DatabaseUnavailableError, GoqueError, SchemaError
from goque.storage.postgresql.connection import UnansweredCommitError
from goque.storage.sql.session import (
    CommitUnansweredError,
    ConnectionLostError,
    DatabaseLockedError,
    NotWritableError,
)

LOCKED: Final = {
    "40001": "two transactions collided (serialization failure)",
    "40P01": "two transactions waited for each other (deadlock)",
    "55P03": "another transaction holds what this one needs",
    "57014": "the statement took too long and was ended",
}
LOST: Final = ("08", "57P01", "57P02", "57P05")
NOT_WRITABLE: Final = "25006"
NO_WRITES: Final = (
    "takes no writes (a standby, or default_transaction_read_only); name the primary in the URL, or turn that setting "
    "off for this user and database"
)
UNAVAILABLE: Final = {
    NOT_WRITABLE: NO_WRITES,
    "28000": "refuses this user; check the user in the URL and pg_hba.conf",
    "28P01": "refuses the password; check it in the URL",
    "3D000": "has no such database; create it, or name another one in the URL",
    "53300": "has no free connection; raise max_connections or put a pooler in front",
    "57P03": "is starting up or shutting down; try again in a moment",
    "42501": "does not let this user do that; grant it the rights on goque's tables",
    "53100": "has a full disk; free some space",
    "53200": "is out of memory; see the server's log",
    "58030": "cannot read or write its files; see the server's log",
}
STATEMENT_MODE: Final = (
    "is a PgBouncer in statement mode, which allows no transactions; set pool_mode = transaction"
)
REFUSED_PARAMETER: Final = (
    "is a PgBouncer that refuses {!r}; remove it from the URL (ALTER ROLE ... SET does the same), "
    "or name it in ignore_startup_parameters"
)
NO_SCHEMA: Final = (
    "has no schema for goque's tables: search_path names none that exists; create it, or set search_path for this user "
    "or in the URL (options=-csearch_path%3Dpublic)"
)
NO_TABLES: Final = "lacks goque's tables ({}); run `goque migrate`"
SCHEMA: Final = {"42P01": NO_TABLES, "42703": NO_TABLES, "3F000": NO_SCHEMA}


def translate(error: psycopg.Error, where: str) -> GoqueError | None:
    """Return the error that a caller can act on, or None for a bug or bad data: the driver's error is raised then."""
    code = error.sqlstate or ""
    said = _first_line(error)
    if "statement pooling mode" in said:
        return ConfigurationError(f"{where} {STATEMENT_MODE}")
    if code in LOCKED:
        return DatabaseLockedError(f"{where}: {LOCKED[code]}; try again")
    if code.startswith(LOST):
        return ConnectionLostError(f"{where} closed the connection ({said}); try again")
    if code in UNAVAILABLE:
        kind = NotWritableError if code == NOT_WRITABLE else DatabaseUnavailableError
        return kind(f"{where} {UNAVAILABLE[code]}")
    if code in SCHEMA:
        return SchemaError(f"{where} {SCHEMA[code].format(said)}")
    return _without_code(error, where) if not code else None


def _without_code(error: psycopg.Error, where: str) -> ConnectionLostError | None:
    """Translate an error that comes from the driver and not from the server."""
    if isinstance(error, UnansweredCommitError):
        return CommitUnansweredError(f"{where}: {error}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ConnectionLostError(f"{where} cannot be reached ({_first_line(error)}); try again")
    return None


def refused(error: psycopg.Error, where: str) -> ConfigurationError | DatabaseUnavailableError:
    """Explain why no connection was made. The driver has only the text of the server's error, not its code."""
    if hosts := _answers_of_hosts(str(error)):
        return _refused_by_all(hosts, where)
    said = _first_line(error)
    if wrong := _wrong_parameter(said):
        return ConfigurationError(f"{where} {wrong}")
    if missing := re.search('database "(.*)" does not exist', said):
        return DatabaseUnavailableError(f"{where}: {NO_DATABASE.format(missing[1])}")
    for code, words in _BY_WORDS.items():
        if re.search(words, said):
            return DatabaseUnavailableError(f"{where} {UNAVAILABLE[code]}")
    if "no password supplied" in said:
        return DatabaseUnavailableError(f"{where} requires a password; add it to the URL")
    hint = "; is the server up, are host and port right?" if "Connection refused" in said else ""
    return DatabaseUnavailableError(f"{where} cannot be reached: {said}{hint}")


def _answers_of_hosts(said: str) -> dict[str, str]:
    """Return the answer of each host if several were tried. One host name may have several addresses."""
    found = _ANSWER.findall(said)
    several = len({(host, port) for host, port, _ in found}) > 1
    return {f"{host}:{port}": answer for host, port, answer in found} if several else {}


def _refused_by_all(hosts: Mapping[str, str], where: str) -> ConfigurationError | DatabaseUnavailableError:
    """Explain why no host can be used. A host that gives a reason is more useful than one that is down."""
    reasons = [refused(psycopg.OperationalError(answer), where) for answer in hosts.values()]
    for reason in reasons:
        if not any(text in str(reason) for text in (" cannot be reached: ", NO_WRITES)):
            return reason
    said = "; ".join(f"{host}: {answer.rpartition('failed: ')[2]}" for host, answer in hosts.items())
    some_answer = any(NO_WRITES in str(reason) for reason in reasons)
    lack = "takes writes" if some_answer else "can be reached"
    return DatabaseUnavailableError(f"{where} has no host that {lack} ({said}); try again")


def _wrong_parameter(said: str) -> str | None:
    """Explain which parameter of the URL is wrong. libpq checks the parameters only when it connects."""
    if found := re.search("unsupported startup parameter(?: in options)?: ([a-z_.]+)", said):
        return REFUSED_PARAMETER.format(found[1])
    reason = _wrong_value(said)
    return reason and f"is not a storage URL: {reason}"


def _wrong_value(said: str) -> str | None:
    if found := re.search('invalid "?([a-z_]+)"? value: "(.*)"', said):
        return f"{found[1]} cannot be {found[2]!r:.40}"
    if found := re.search('invalid integer value ".*" for connection option "([a-z_]+)"', said):
        return f"{found[1]} must be a whole number"
    if found := re.search("bad value for ([a-z_]+): ", said):
        return f"{found[1]} must be a whole number"
    if found := re.search(
        '(root certificate|private key) file "(.*?)" (?:does not exist|.*No such file)', said
    ):
        name = "sslrootcert" if found[1] == "root certificate" else "sslkey"
        return f"{name} names the file {found[2]!r:.200}, which does not exist"
    return None


_ANSWER: Final = re.compile(
    r"^- host: '?([^',]*)'?, port: '?([^',]*)'?, hostaddr: (?:'[^']*'|None): (.*)$", re.MULTILINE
)
NO_DATABASE: Final = "the server has no database '{}'; create it, or name another one in the URL"
_BY_WORDS: Final = {
    "28P01": "password authentication failed",
    "53300": "too many (clients|connections)|connection slots are reserved",
    "28000": 'role ".*" (does not exist|is not permitted)|no pg_hba.conf entry',
    "57P03": "the database system is",
    NOT_WRITABLE: "session is read-only",
}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
