"""SQLite: a temporary file with the write-ahead log and `synchronous=FULL`, as in goque."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from database import DIGITS, NUMBERS, Database, NewRow

NOW: Final = "2026-01-01T00:00:00.000000Z"
FINISH: Final = f"""
    UPDATE goque_task SET status = 'done', claimed_by = NULL, updated_at = '{NOW}'
    WHERE rowid IN (SELECT value FROM json_each(?))"""


class SqliteDatabase(Database):
    """A temporary file in a directory."""

    insert = f"""
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, next_attempt_at)
        VALUES (?, 'noop', ?, '{{}}', 'new', 0, '{{}}', '{NOW}', '{NOW}')"""
    claim = f"""
        UPDATE goque_task SET status = 'pending', claimed_by = 'bare', claims = claims + 1, updated_at = '{NOW}'
        WHERE rowid IN (
            SELECT rowid FROM goque_task INDEXED BY goque_task_claim_idx
            WHERE type = 'noop' AND status IN ('new', 'error') AND claimed_by IS NULL AND priority = 0
              AND next_attempt_at <= '{NOW}'
            ORDER BY next_attempt_at LIMIT ?)
        RETURNING rowid, payload"""
    nothing_left = """
        SELECT EXISTS (SELECT 1 FROM goque_task WHERE status IN ('new', 'error') AND claimed_by IS NULL)
            OR EXISTS (SELECT 1 FROM goque_task WHERE claimed_by IS NOT NULL)"""
    last_move = "SELECT max(updated_at) FROM goque_task"
    finished_since = """
        SELECT count(*), min(coalesce(updated_at, created_at)), max(coalesce(updated_at, created_at))
        FROM goque_task INDEXED BY goque_task_finished_idx
        WHERE type = 'noop' AND status = 'done' AND coalesce(updated_at, created_at) > ?
          AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL"""
    clear = "DELETE FROM goque_task"
    fill_sql = f"""
        WITH {DIGITS}, number AS ({NUMBERS}), made AS (
            SELECT n, julianday('now') - (:age - (:before + n) * :apart) / 86400 AS at,
                   CAST((strftime('%s', 'now') - :age + (:before + n) * :apart) * 1000 AS INTEGER) AS ms,
                   random() AS noise
            FROM number WHERE n < :size), named AS MATERIALIZED (
            SELECT *, printf('%08x-%04x', ms >> 16, ms & 65535) AS head,
                   printf('%03x-8%03x-%012x', n & 4095, noise >> 48 & 4095, noise & 281474976710655) AS tail
            FROM made)
        INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,
                                next_attempt_at, priority)
        SELECT head || '-7' || tail, CASE WHEN :types = 1 THEN 'noop' ELSE 'noop_' || (n % :types) END,
               'internal-' || head || '-4' || tail,
               '{{"n": 1}}', :status, 0, '{{}}',
               strftime('%Y-%m-%dT%H:%M:%f000Z', at),
               CASE WHEN :status = 'done' THEN strftime('%Y-%m-%dT%H:%M:%f000Z', at + 1.0 / 86400) END,
               strftime('%Y-%m-%dT%H:%M:%f000Z', at + :due_in / 86400),
               n % :priorities - :priorities / 2
        FROM named"""

    def create(self, where: str) -> None:
        """Choose the file's name and set `url`."""
        self.path = Path(where) / f"{self.name}.db"
        self.url = f"sqlite:///{self.path}"

    def drop(self) -> None:
        """Remove the database file, its log and its index."""
        for path in self.path.parent.glob(f"{self.name}.db*"):
            path.unlink()

    def connect(self) -> sqlite3.Connection:
        """Open the file."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def rows(self, sql: str, params: Any = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows."""
        return self.connection.execute(sql, params).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take the write lock, and commit at the end."""
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute("COMMIT")

    def insert_many(self, rows: list[NewRow]) -> None:
        """Insert by executemany."""
        with self.transaction():
            self.connection.executemany(self.insert, rows)

    def claim_batch(self, limit: int) -> list[Any]:
        """Claim in one statement, which is a transaction."""
        return [row[0] for row in self.rows(self.claim, (limit,))]

    def finish_batch(self, claimed: list[Any]) -> None:
        """Finish by rowid."""
        self.rows(FINISH, (json.dumps(claimed),))

    def now(self) -> float:
        """Return the host's clock."""
        return time.time()

    def last_moved(self) -> float:
        """Return the time of the last change of a task."""
        return _seconds(self.rows(self.last_move)[0][0])

    def finished_between(self, since: float) -> tuple[int, float, float]:
        """Return how many tasks finished after an instant, and when the first and the last of them did."""
        text = datetime.fromtimestamp(since, UTC).isoformat(timespec="microseconds")
        ((count, first, last),) = self.rows(self.finished_since, (text.replace("+00:00", "Z"),))
        return (count, _seconds(first), _seconds(last)) if count else (0, 0.0, 0.0)

    def analyze(self) -> None:
        """Gather statistics."""
        self.connection.execute("ANALYZE")

    def keep_statistics(self) -> None:
        """Gather statistics; SQLite does not update them by itself."""
        self.analyze()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
