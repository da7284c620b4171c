"""Databases of a test's own on a pair of servers: statements behind goque's back go to whichever takes writes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from databases import Database, MysqlDatabase, PostgresqlDatabase
from replication import MariadbPair, Pair, PostgresqlPair, with_database

from goque import TaskQueueManager


class PostgresqlPairDatabase(PostgresqlDatabase):
    """A schema on a primary and its standby; its URL names both hosts, and nothing else of them."""

    def __init__(self, pair: PostgresqlPair) -> None:
        writable = "target_session_attrs=read-write&"
        super().__init__(f"{pair.url}?{writable[:-1]}")
        self.url = self.url.replace(writable, "")  # to find the host that takes writes is goque's own matter
        self.queue.close()
        self.queue = TaskQueueManager(self.url)


class MariadbPairDatabase(MysqlDatabase):
    """A database on a MariaDB and its replica; its URL names both hosts."""

    def __init__(self, pair: MariadbPair) -> None:
        self._pair = pair
        super().__init__(pair.primary.url)
        pair.wait_until_equal()
        self.queue.close()
        self.url = with_database(pair.url, of=self.url)
        self.queue = TaskQueueManager(self.url)

    def _run(self, url: str, sql: str) -> list[tuple[Any, ...]]:
        server = urlsplit(self._pair.current.url)
        return super()._run(urlunsplit(urlsplit(url)._replace(netloc=server.netloc)), sql)


def database_on(pair: Pair) -> Database:
    """Make a migrated database on a pair."""
    return PostgresqlPairDatabase(pair) if isinstance(pair, PostgresqlPair) else MariadbPairDatabase(pair)
