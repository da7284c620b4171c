"""A URL of several hosts: PyMySQL knows one, so they are tried in order, and the first that takes writes is used."""

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
from goque.storage.sql.session import NotWritableError

RECHECK: Final = 10.0
"""Seconds after which an open connection asks again: a program that only reads, or one whose account may write in
spite of `read_only`, would never notice that its server has become a replica."""

SETTINGS: Final = "SHOW GLOBAL VARIABLES WHERE Variable_name IN (%s, %s, %s, %s)"
READ_ONLY: Final = ("read_only", "super_read_only", "innodb_read_only")
GALERA: Final = "wsrep_on"
GALERA_STATUS: Final = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"
NO: Final = ("OFF", "0", "")

Open = Callable[[str, int], Any]


def connect_to_writable(servers: Sequence[tuple[str, int]], open_one: Open, where: str) -> Any:
    """Return a connection to the first server that takes writes.

    Args:
        servers: host and port of each.
        open_one: opens a connection of the driver's.
        where: the URL without its password.

    Raises:
        DatabaseUnavailableError: there is none; the text has what each answered.
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
    """Return why a server takes no writes, None if it does.

    Raises:
        pymysql.Error: it does not answer.
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


def _texts(rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    return {mysql_rows.read_text(name): mysql_rows.read_text(value).upper() for name, value in rows}


def _refused_by_all(answers: Mapping[str, str | Exception], where: str) -> DatabaseUnavailableError:
    """Say why no server can be used: an answer with a reason tells more than that one is away."""
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
    """A connection to one of several servers, which is left when that takes no writes any more."""

    def __init__(self, connection: Any, where: str, clock: Callable[[], datetime] | None) -> None:
        super().__init__(connection, where, clock)
        self._check_at = time.monotonic() + RECHECK

    def start(self) -> None:
        """Forget what time it was, and ask the server from time to time whether it takes writes."""
        super().start()
        if time.monotonic() < self._check_at:
            return
        with Translated(self.where):
            reason = reason_for_no_writes(self.connection)
        if reason is not None:
            raise NotWritableError(f"{self.where}: the server in use takes no writes any more ({reason})")
        self._check_at = time.monotonic() + RECHECK
