"""MySQL and MariaDB: a temporary database on the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

import pymysql
from database import DIGITS, NUMBERS, Database, NewRow

from goque.storage.mysql.url import connection_options

SESSION: Final = "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
INSERT_MANY: Final = """
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
"""All values are parameters: otherwise PyMySQL does not combine the rows into one statement."""

MARK: Final = """
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET status = 'pending', claimed_by = 'bare', claims = claims + 1, updated_at = now(6)
    WHERE id IN %s"""
FINISH: Final = """
    UPDATE goque_task FORCE INDEX (PRIMARY)
    SET status = 'done', claimed_by = NULL, updated_at = now(6)
    WHERE id IN %s"""


class MysqlDatabase(Database):
    """A temporary database on a server."""

    insert = """
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata)
        VALUES (%s, 'noop', %s, '{}', 'new', 0, '{}')"""
    claim = """
        SELECT id, payload FROM goque_task FORCE INDEX (goque_task_claim_idx)
        WHERE type = 'noop' AND claim_rank = 0 AND next_attempt_at <= now(6)
        ORDER BY next_attempt_at LIMIT %s
        FOR UPDATE SKIP LOCKED"""
    nothing_left = """
        SELECT EXISTS (SELECT 1 FROM goque_task WHERE type > '' AND claim_rank IS NOT NULL)
            OR EXISTS (SELECT 1 FROM goque_task FORCE INDEX (goque_task_state_idx) WHERE claimed_by IS NOT NULL)"""
    last_move = "SELECT unix_timestamp(max(updated_at)) FROM goque_task"
    finished_since = """
        SELECT count(*), unix_timestamp(min(updated_at)), unix_timestamp(max(updated_at))
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NULL AND status = 'done' AND type = 'noop' AND updated_at > from_unixtime(%s)"""
    fill_sql: ClassVar[str] = f"""
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,
                                next_attempt_at, priority)
        WITH {DIGITS}, number AS ({NUMBERS}), made AS (
            SELECT n, now(6) - INTERVAL (%(age)s - (%(before)s + n) * %(apart)s) * 1000000 MICROSECOND AS at,
                   md5(concat(uuid(), n)) AS noise
            FROM number WHERE n < %(size)s), stamped AS (
            SELECT made.*, lower(lpad(hex(CAST(unix_timestamp(at) * 1000 AS unsigned)), 12, '0')) AS ms
            FROM made), named AS (
            SELECT stamped.*, concat(substr(ms, 1, 8), '-', substr(ms, 9)) AS head,
                   concat(substr(noise, 1, 3), '-8', substr(noise, 4, 3), '-', substr(noise, 7, 12)) AS tail
            FROM stamped)
        SELECT concat(head, '-7', tail), IF(%(types)s = 1, 'noop', concat('noop_', mod(n, %(types)s))),
               concat('internal-', head, '-4', tail),
               '{{"n": 1}}', %(status)s, 0, '{{}}', at,
               CASE WHEN %(status)s = 'done' THEN at + INTERVAL 1 SECOND END,
               at + INTERVAL %(due_in)s SECOND,
               mod(n, %(priorities)s) - %(priorities)s DIV 2
        FROM named"""

    def create(self, where: str) -> None:
        """Create the database."""
        self.server = where
        self.url = urlunsplit(urlsplit(where)._replace(path=f"/{self.name}"))
        self._serve(f"CREATE DATABASE {self.name}")

    def drop(self) -> None:
        """Drop the database."""
        self._serve(f"DROP DATABASE IF EXISTS {self.name}")

    def connect(self) -> pymysql.connections.Connection[Any]:
        """Connect, with the settings of goque's sessions."""
        connection = pymysql.connect(
            **connection_options(self.url), charset="utf8mb4", autocommit=True, init_command=SESSION
        )
        connection.cursor().execute(ISOLATION)
        return connection

    def rows(self, sql: str, params: Any = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin a transaction, and commit it at the end."""
        self.connection.begin()
        yield
        self.connection.commit()

    def insert_many(self, rows: list[NewRow]) -> None:
        """Insert by executemany, which PyMySQL turns into an INSERT of many rows."""
        filled = [(task_id, "noop", external_id, "{}", "new", 0, "{}") for task_id, external_id in rows]
        with self.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(INSERT_MANY, filled)

    def claim_batch(self, limit: int) -> list[Any]:
        """Lock and mark in one transaction, because neither server supports UPDATE … RETURNING."""
        with self.transaction():
            claimed = [row[0] for row in self.rows(self.claim, (limit,))]
            if claimed:
                self.rows(MARK, (claimed,))
        return claimed

    def finish_batch(self, claimed: list[Any]) -> None:
        """Finish by primary key."""
        self.rows(FINISH, (claimed,))

    def now(self) -> float:
        """Return the server's clock."""
        return float(self.rows("SELECT unix_timestamp(now(6))")[0][0])

    def analyze(self) -> None:
        """Gather statistics, and let the server update them by itself again."""
        self.rows("ALTER TABLE goque_task STATS_AUTO_RECALC = 1")
        self.rows("ANALYZE TABLE goque_task")

    def keep_statistics(self) -> None:
        """Gather statistics, and stop the server from updating them by itself."""
        self.rows("ANALYZE TABLE goque_task")
        self.rows("ALTER TABLE goque_task STATS_AUTO_RECALC = 0")

    def _serve(self, sql: str) -> None:
        with closing(pymysql.connect(**connection_options(self.server), autocommit=True)) as connection:
            connection.cursor().execute(sql)
