"""Connect to a URL of several hosts. PyMySQL accepts one host, so goque tries them in order until one takes writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pymysql

from goque.errors import DatabaseUnavailableError
from goque.storage.mysql import rows as mysql_rows
from goque.storage.mysql.errors import refused
from goque.storage.mysql.session import MysqlSession, Translated
from goque.storage.sql.session import NotWritableError, Session

RECHECK: Final = 10.0
"""Seconds after which an open connection checks again whether its server takes writes. No error would show that it has
become a replica to a program that only reads, or whose account may write in spite of `read_only`."""

SETTINGS: Final = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (%s, %s, %s, %s)"
READ_ONLY: Final = ("read_only", "super_read_only", "innodb_read_only")
GALERA: Final = "wsrep_on"
GALERA_STATUS: Final = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"
SERVER: Final = "SELECT @@hostname, @@port"
NO: Final = ("OFF", "0", "")

Open = Callable[[str, int], Any]


def connect_to_writable(servers: Sequence[tuple[str, int]], open_one: Open, where: str) -> Any:
    """Return a connection to the first server that takes writes.

    Args:
        servers: the hosts and their ports.
        open_one: opens a connection of the driver to a host and a port.
        where: the URL without its password.

    Raises:
        DatabaseUnavailableError: no server takes writes; the text contains the answer of each.
    """
    answers: dict[str, str | Exception] = {}
    for host, port in servers:
        connection = None
        try:
            connection = open_one(host, port)
            answer: str | Exception | None = reason_for_no_writes(connection)
        except (pymysql.Error, OSError) as error:
            answer = error
        if answer is None:
            return connection
        answers[f"{host}:{port}"] = answer
        if connection is not None and connection.open:
            connection.close()
    raise _refused_by_all(answers, where)


def reason_for_no_writes(connection: Any) -> str | None:
    """Return why a server takes no writes, or None if it does.

    Raises:
        pymysql.Error: the server does not answer.
    """
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS, (*READ_ONLY, GALERA))
        settings = _texts(cursor.fetchall())
        for name in READ_ONLY:
            if settings.get(name, "OFF") not in NO:
                return f"{name} is {settings[name]}"
        if settings.get(GALERA, "OFF") not in NO:
            cursor.execute(GALERA_STATUS)
            if "OFF" in _texts(cursor.fetchall()).values():
                return "a Galera node without a quorum, or not in step yet"
    return None


def is_same_server(one: Session, other: Session) -> bool:
    """Return whether two connections are to the same server, also where a proxy chooses it."""
    return one.rows(SERVER) == other.rows(SERVER)


def _texts(rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    return {mysql_rows.read_text(name): mysql_rows.read_text(value).upper() for name, value in rows}


def _refused_by_all(answers: Mapping[str, str | Exception], where: str) -> DatabaseUnavailableError:
    """Explain why no server can be used. A server that gives a reason is more useful than one that is down."""
    said: dict[str, str] = {}
    for host, answer in answers.items():
        if isinstance(answer, str):
            said[host] = answer
            continue
        reason = refused(answer, where)
        text = str(reason)
        if " cannot be reached: " not in text:
            return reason
        said[host] = text.partition(" cannot be reached: ")[2].partition("; is the server up")[0]
    lack = "takes writes" if any(isinstance(answer, str) for answer in answers.values()) else "can be reached"
    each = "; ".join(f"{host}: {text}" for host, text in said.items())
    return DatabaseUnavailableError(f"{where} has no host that {lack} ({each}); try again")


class OneOfSeveralSession(MysqlSession):
    """A connection to one of several servers. It raises an error once its server takes no writes any more."""

    def __init__(self, connection: Any, where: str, clock: Callable[[], datetime] | None) -> None:
        super().__init__(connection, where, clock)
        self._check_at = time.monotonic() + RECHECK

    def start(self) -> None:
        """Forget the time that was read before, and check every `RECHECK` seconds whether the server takes writes."""
        super().start()
        if time.monotonic() < self._check_at:
            return
        with Translated(self.where):
            reason = reason_for_no_writes(self.connection)
        if reason is not None:
            raise NotWritableError(f"{self.where}: the server in use takes no writes any more ({reason})")
        self._check_at = time.monotonic() + RECHECK
