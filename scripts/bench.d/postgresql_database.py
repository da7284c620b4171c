"""PostgreSQL: a temporary database on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from database import DIGITS, NUMBERS, Database, NewRow

COPY: Final = "COPY goque_task (id, type, external_id, payload, status, attempts, metadata) FROM STDIN"
FINISH: Final = """
    UPDATE goque_task SET status = 'done', claimed_by = NULL, updated_at = now()
    WHERE id = ANY (CAST(%s AS uuid[]))"""
PLANS: Final = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
"""Plans that are switched off in the session, as in goque's transactions: statistics mislead the planner."""


class PostgresqlDatabase(Database):
    """A temporary database on a server."""

    insert = """
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata)
        VALUES (%s, 'noop', %s, '{}', 'new', 0, '{}')"""
    claim = """
        UPDATE goque_task SET status = 'pending', claimed_by = 'bare', claims = claims + 1, updated_at = now()
        WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM goque_task
            WHERE type = 'noop' AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = 0
              AND next_attempt_at <= now()
            ORDER BY priority DESC, next_attempt_at LIMIT %s
            FOR UPDATE SKIP LOCKED))
        RETURNING id, payload"""
    nothing_left = """
        SELECT EXISTS (SELECT 1 FROM goque_task WHERE status IN ('new', 'error') AND claimed_by IS NULL)
            OR EXISTS (SELECT 1 FROM goque_task WHERE claimed_by IS NOT NULL)"""
    last_move = "SELECT extract(epoch FROM max(updated_at)) FROM goque_task"
    finished_since = """
        SELECT count(*), extract(epoch FROM min(coalesce(updated_at, created_at))),
               extract(epoch FROM max(coalesce(updated_at, created_at)))
        FROM goque_task
        WHERE type = 'noop' AND status = 'done' AND coalesce(updated_at, created_at) > to_timestamp(%s)
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""
    fill_sql: ClassVar[str] = f"""
        WITH {DIGITS}, number AS ({NUMBERS}), made AS (
            SELECT n, now() - make_interval(secs => %(age)s - (%(before)s + n) * %(apart)s) AS at,
                   md5(CAST(random() AS text)) AS noise
            FROM number WHERE n < %(size)s), stamped AS (
            SELECT *, lpad(to_hex(CAST(extract(epoch FROM at) * 1000 AS bigint)), 12, '0') AS ms
            FROM made), named AS (
            SELECT *, concat(substr(ms, 1, 8), '-', substr(ms, 9)) AS head,
                   concat(substr(noise, 1, 3), '-8', substr(noise, 4, 3), '-', substr(noise, 7, 12)) AS tail
            FROM stamped)
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,
                                next_attempt_at, priority)
        SELECT CAST(concat(head, '-7', tail) AS uuid),
               CASE WHEN %(types)s = 1 THEN 'noop' ELSE concat('noop_', mod(n, %(types)s)) END,
               concat('internal-', head, '-4', tail),
               '{{"n": 1}}', %(status)s, 0, '{{}}', at,
               CASE WHEN %(status)s = 'done' THEN at + interval '1 second' END,
               at + make_interval(secs => %(due_in)s),
               mod(n, %(priorities)s) - %(priorities)s / 2
        FROM named"""

    def create(self, where: str) -> None:
        """Create the database."""
        self.server = where
        self.url = urlunsplit(urlsplit(where)._replace(path=f"/{self.name}"))
        self._serve(f"CREATE DATABASE {self.name}")

    def drop(self) -> None:
        """Drop the database, and close remaining connections first."""
        self._serve(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")
        self._serve(f"DROP DATABASE IF EXISTS {self.name}")

    def connect(self) -> psycopg.Connection[Any]:
        """Connect, with the same planner settings as goque."""
        connection = psycopg.connect(self.url, autocommit=True)
        for plan in PLANS:
            connection.execute(f"SET enable_{plan} = off")
        connection.execute("SET jit = off")
        return connection

    def rows(self, sql: str, params: Any = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""
        cursor = self.connection.execute(sql, params)
        return cursor.fetchall() if cursor.description else []

    def transaction(self) -> Any:
        """Begin a transaction, and commit it at the end."""
        return self.connection.transaction()

    def insert_many(self, rows: list[NewRow]) -> None:
        """Insert by COPY."""
        with self.connection.cursor().copy(COPY) as copy:
            for task_id, external_id in rows:
                copy.write_row((task_id, "noop", external_id, "{}", "new", 0, "{}"))

    def claim_batch(self, limit: int) -> list[Any]:
        """Claim in one statement, which is a transaction."""
        cursor = self.connection.cursor(binary=True)
        return [row[0] for row in cursor.execute(self.claim, (limit,)).fetchall()]

    def finish_batch(self, claimed: list[Any]) -> None:
        """Finish by primary key."""
        self.connection.execute(FINISH, (claimed,))

    def now(self) -> float:
        """Return the server's clock."""
        return float(self.rows("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def analyze(self) -> None:
        """Gather statistics, and let the server update them by itself again."""
        self.rows("ALTER TABLE goque_task RESET (autovacuum_enabled)")
        self.rows("ANALYZE goque_task")

    def vacuum(self) -> None:
        """Tidy the table after a bulk insert, and update the planner's statistics."""
        self.rows("VACUUM ANALYZE goque_task")

    def keep_statistics(self) -> None:
        """Gather statistics, and switch autovacuum off for the table, because it would update them."""
        self.rows("ANALYZE goque_task")
        self.rows("ALTER TABLE goque_task SET (autovacuum_enabled = off)")

    def _serve(self, sql: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql)
