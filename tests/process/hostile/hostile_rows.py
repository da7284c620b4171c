"""Rows that somebody else wrote: any value that the columns of goque's tables admit, by raw SQL, from a seed."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pymysql
from databases import Database, MysqlDatabase, PostgresqlDatabase, SqliteDatabase

from goque.storage.mysql.url import connection_options

OWN_TYPES = ("fine", "typed")
"""Types that the tree of the test runs; most hostile tasks are of these."""

STATUSES = ("new", "error", "pending", "processing", "done", "canceled", "attempts_left", "blocked")
SHARES = {
    "goque_task": 55,
    "goque_attempt": 10,
    "goque_node": 10,
    "goque_type": 6,
    "goque_schedule": 4,
    "goque_limit": 3,
    "goque_step": 4,
    "goque_stack": 1,
    "goque_rollup": 2,
    "goque_failure_group": 2,
    "goque_failure_hour": 2,
}
"""Of 100 rows."""

TEXTS = (
    "",
    " ",
    "x",
    "'; DROP TABLE goque_task; --",
    "<script>alert(1)</script>",
    "new\nline\rand\ttab",
    "\u202eevil \u0000x".replace("\0", ""),
    "žluťoučký kůň",
    "🦑" * 30,
    "\ufffe\uffff",
    "\x1b[31mred\x07",
    "%s %(x)s {0} {x} :x ?",
    "0x7fffffffffffffff",
    "NaN",
    "null",
    "../../etc/passwd",
    "a" * 255,
)
JSON = (
    "{}",
    "[]",
    "null",
    "true",
    '""',
    '"text"',
    "-1",
    "1e300",
    "123456789012345678901234567890",
    '{"n": 1}',
    '{"n": "no number"}',
    '{"traceparent": 5, "values": []}',
    '{"": {"": []}}',
    "[" * 60 + "]" * 60,
    '{"type": "step", "periods": []}',
    '{"traceparent": "00-zz-zz-zz"}',
    '{"n": "\\ud83e\\udd91 \u017elu\u0165"}',
)
NO_JSON = ("", "{", "nope", "{'a': 1}", '{"a": 1}}', "NaN", "[1,]", "\ufeff{}", "1e400")
STRATEGIES = (
    "",
    "garbage",
    "{}",
    "[]",
    "null",
    '{"kind": "static"}',
    '{"type": "static", "period": -5}',
    '{"type": "exponential", "base": 1e308, "factor": 1e308, "maximum": 1e309}',
    '{"type": "step", "periods": []}',
    '{"type": "step", "periods": ["x"]}',
    '["static", 1]',
    "é",
)
NO_LIMITS = (
    "",
    "garbage",
    "{}",
    "[]",
    "null",
    '{"limit": 0}',
    '{"limit": "3"}',
    '{"limit": 1e300}',
    '{"per_key": -1}',
    '{"rate": 5}',
    '{"rate": {"count": 0, "per": 60}}',
    '{"rate": {"count": 1, "per": -1}}',
    '{"rate": {"count": 1, "per": 1e308}}',
    '{"rate": {"count": 1, "per": 60, "burst": "x"}}',
)
"""What says nothing that could bound a type."""
SOME_LIMITS = (
    '{"limit": 3}',
    '{"per_key": 1, "rate": {"count": 1, "per": 1e-300}}',
    '{"rate": {"count": 1, "per": 60}}',
)
BYTES = (b"\xff\xfe", b"", b'{"s":"\xff"}', b"\x00", b"caf\xe9", b"\xed\xa0\x80", b"{}" + b"\xc3")
"""Of a SQLite file only, where any column takes them, as a blob or as a text that is not UTF-8."""


class HostileRows:
    """Writes rows that no goque would.

    Args:
        database: where; its own SQL rules say what a column admits.
        seed: the same seed gives the same rows, but for the names of nodes that live.
    """

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.nodes: list[Any] = ["", "a stranger", "\u017elu\u0165", "0" * 64]
        self.task_ids: list[str] = []
        self._is_sqlite = isinstance(database, SqliteDatabase)
        self._is_mysql = isinstance(database, MysqlDatabase)

    def write(self, number: int) -> None:
        """Insert about so many rows, of all tables; those whose key is taken are left out."""
        tables = self.random.choices(list(SHARES), list(SHARES.values()), k=number)
        rows = [(table, self._row(table)) for table in sorted(tables, key=list(SHARES).index, reverse=True)]
        self.random.shuffle(rows)
        INSERT[self.database.backend](self.database, rows)

    def _row(self, table: str) -> dict[str, Any]:
        return {
            "goque_task": self._task,
            "goque_attempt": self._attempt,
            "goque_node": self._node,
            "goque_type": self._type,
            "goque_schedule": self._schedule,
            "goque_limit": self._limit,
            "goque_step": self._step,
            "goque_failure_group": self._failure_group,
            "goque_failure_hour": self._failure_hour,
            "goque_stack": self._stack,
            "goque_rollup": self._rollup,
        }[table]()

    # -- rows --------------------------------------------------------------------------------------------------------

    def _task(self) -> dict[str, Any]:
        task_id = self._task_id()
        own = self.random.random() < 0.75
        return {
            "id": task_id,
            "type": self.random.choice(OWN_TYPES) if own else self._text(200),
            "external_id": f"hostile-{self.random.getrandbits(64)}" if own else self._text(200),
            "payload": self._json(),
            "status": self._one_of(self.random.choice(STATUSES), lambda: self._text(50), often=0.9),
            "attempts": self._int(32),
            "errors": self._or_null(lambda: self._text(500)),
            "metadata": self._or_null(self._json),
            "created_at": self._time(),
            "updated_at": self._or_null(self._time),
            "next_attempt_at": self._time(),
            "priority": self._one_of(0, lambda: self._int(16)),
            "result": self._or_null(self._json),
            "claimed_by": self._or_null(lambda: self.random.choice(self.nodes), often=0.5),
            "claims": self._int(32),
            "lost_claims": self._int(32),
            "unique_key": self._or_null(self._unique_key),
            "limit_key": self._or_null(lambda: self._text(200), often=0.4),
            "flags": self._or_null(lambda: 16, often=0.3),
        }

    def _unique_key(self) -> Any:
        text = self._text(200)
        return f"{self.random.choice(['w:', 'a:', 't60/1:', ''])}{text}" if isinstance(text, str) else text

    def _attempt(self) -> dict[str, Any]:
        known = self.task_ids and self.random.random() < 0.8
        return {
            "task_id": self.random.choice(self.task_ids) if known else self._task_id(),
            "attempt": self._int(32),
            "cause": self._one_of("failed", lambda: self._text(200)),
            "error": self._text(500),
            "traceback": self._or_null(lambda: self._text(500)),
            "node": self._or_null(lambda: self._text(60)),
            "worker_pid": self._or_null(lambda: self._int(32)),
            "started_at": self._or_null(self._time),
            "ended_at": self._time(),
            "duration": self._or_null(self._float),
            "exit_code": self._or_null(lambda: self._int(32)),
            "signal": self._or_null(lambda: self._int(32)),
            "max_rss": self._or_null(lambda: self._int(64)),
            "oom": self._or_null(lambda: self._text(200)),
            "stack": self._or_null(lambda: self._text(500)),
            "stderr": self._or_null(lambda: self._text(500)),
            "failure_group": self._or_null(self._group),
            "app_version": self._or_null(lambda: self._text(200)),
        }

    def _group(self) -> Any:
        return self._one_of(self.random.choice(("3f9a2c81d0", "0000000000")), lambda: self._text(32))

    def _failure_group(self) -> dict[str, Any]:
        return {
            "failure_group": self._group(),
            "type": self._one_of(self.random.choice(OWN_TYPES), lambda: self._text(200)),
            "cause": self._text(200),
            "error_class": self._text(200),
            "line": self._text(300),
            "error": self._text(300),
            "failures": self._int(64),
            "first_at": self._time(),
            "last_at": self._time(),
            "example_task_id": str(uuid.UUID(int=self.random.getrandbits(128))),
            "first_version": self._or_null(lambda: self._text(200)),
            "last_version": self._or_null(lambda: self._text(200)),
        }

    def _failure_hour(self) -> dict[str, Any]:
        return {
            "failure_group": self._group(),
            "hour": self._one_of(int(datetime.now(UTC).timestamp()) // 3600, lambda: self._int(64)),
            "failures": self._int(64),
        }

    def _node(self) -> dict[str, Any]:
        node = self._one_of(
            str(uuid.UUID(int=self.random.getrandbits(128))), lambda: self._text(60), often=0.7
        )
        self.nodes.append(node)
        return {
            "id": node,
            "seq": self._int(64),
            "state": self._one_of(self.random.choice(("alive", "dead", "stopped")), lambda: self._text(16)),
            "host": self._text(200),
            "pid": self._int(32),
            "started_at": self._time(),
            "heartbeat_at": self._time(),
            "info": self._or_null(lambda: self._one_of(self._text(300), self._json, often=0.5)),
        }

    def _type(self) -> dict[str, Any]:
        return {
            "type": self._text(200),
            "max_attempts": self._int(32),
            "strategy": self._or_null(
                lambda: self._one_of(self.random.choice(STRATEGIES), lambda: self._text(50))
            ),
            "max_crashes": self._or_null(lambda: self._int(32)),
            "cleaner_age": self._float(),
            "cleaner_keep_failed": self._float(),
            "healer_age": self._float(),
            "paused": self._int(16),
            "limits": self._or_null(lambda: self.random.choice([*NO_LIMITS, *SOME_LIMITS]), often=0.5),
            "limits_set": self._or_null(lambda: self.random.choice([*NO_LIMITS, *SOME_LIMITS]), often=0.3),
            "updated_at": self._time(),
        }

    def _limit(self) -> dict[str, Any]:
        own = self.random.random() < 0.7
        return {
            "type": self.random.choice(OWN_TYPES) if own else self._text(200),
            "limit_key": self._text(200),
            "last_key": self._or_null(lambda: self._text(200)),
            "arrival": self._or_null(self._float),
            "not_before": None if own else self._float(),
        }

    def _step(self) -> dict[str, Any]:
        known = self.task_ids and self.random.random() < 0.8
        kinds = ("step", "sleep", "wait", "signal", "progress")
        return {
            "task_id": self.random.choice(self.task_ids) if known else self._task_id(),
            "kind": self._one_of(self.random.choice(kinds), lambda: self._text(16)),
            "name": self._text(200),
            "value": self._or_null(lambda: self._one_of(self._json(), lambda: self._text(500))),
            "claims": self._int(32),
            "duration": self._or_null(self._float),
            "until": self._or_null(self._time),
            "made_at": self._time(),
        }

    def _stack(self) -> dict[str, Any]:
        return {
            "id": str(uuid.UUID(int=self.random.getrandbits(128))),
            "task_id": self.random.choice(self.task_ids) if self.task_ids else self._task_id(),
            "owner": self._text(64),
            "asked_at": self._time(),
            "answer": self._or_null(lambda: self._one_of(self._json(), lambda: self._text(500))),
        }

    def _rollup(self) -> dict[str, Any]:
        counts = (
            "{}",
            '{"fine": {"ends": {"done": 7}, "run": {"99999": 7}}}',
            '{"fine": {"wait": {"-5": 1}}}',
        )
        now = int(time.time()) // 3600 * 3600
        return {
            "step": self._one_of(self.random.choice((60, 600, 3600)), lambda: self._int(32)),
            "slot": self._one_of(now - 3600 * self.random.randrange(5), lambda: self._int(64)),
            "writer": self._text(64),
            "runs": self._one_of(self.random.choice(counts), lambda: self._text(500)),
        }

    def _schedule(self) -> dict[str, Any]:
        return {
            "job_name": self._text(200),
            "last_slot": self._time(),
            "updated_at": self._time(),
            "paused": self._int(16),
        }

    def spoil_policies(self) -> None:
        """Make garbage of the policies of the tree's own types, but for a pause and limits, which anybody may set."""
        for task_type in OWN_TYPES:
            values = {
                **self._type(),
                "paused": 0,
                "limits": self.random.choice([None, *NO_LIMITS]),
                "limits_set": self.random.choice([None, *NO_LIMITS]),
            }
            del values["type"]
            UPDATE_TYPE[self.database.backend](self.database, task_type, values)

    # -- values ------------------------------------------------------------------------------------------------------

    def _one_of(self, usual: Any, other: Callable[[], Any], often: float = 0.8) -> Any:
        return usual if self.random.random() < often else other()

    def _or_null(self, value: Callable[[], Any], often: float = 0.7) -> Any:
        return value() if self.random.random() < often else None

    def _task_id(self) -> Any:
        usual = str(uuid.UUID(int=self.random.getrandbits(128)))
        if self.database.backend == "postgresql" or self.random.random() < 0.8:
            self.task_ids.append(usual)
            return usual
        odd = ("", "x", usual.upper(), usual[:35] + "\u017e", "\u017e" * 36, usual.replace("-", ""), "'" * 36)
        return self.random.choice([*odd, *((*BYTES, None, 5, usual.encode()) if self._is_sqlite else ())])

    def _text(self, longest: int) -> Any:
        if self._is_sqlite and self.random.random() < 0.15:
            return self.random.choice([*BYTES, *map(NotUtf8, BYTES), 7, 1.5])
        if self.random.random() < 0.3:
            letters = (chr(self._letter()) for _ in range(self.random.randrange(min(longest, 40) + 1)))
            return "".join(letters)[:longest]
        return self.random.choice(TEXTS)[:longest]

    def _letter(self) -> int:
        while True:
            number = self.random.choice((self.random.randrange(1, 128), self.random.randrange(1, 0x110000)))
            if not 0xD800 <= number < 0xE000:
                return number

    def _json(self) -> Any:
        if not self._is_sqlite:
            return self.random.choice([text for text in JSON if self._is_mysql or "e300" not in text])
        return self.random.choice([*JSON, *NO_JSON, *BYTES, *map(NotUtf8, BYTES), 7, 1.5])

    def _int(self, bits: int) -> Any:
        limit = 2 ** (bits - 1)
        values = [0, 0, 0, 1, 1, 3, -1, limit - 1, limit - 2, -limit, self.random.randrange(-limit, limit)]
        if self._is_sqlite:
            values += [2**63 - 1, -(2**63), 1.5, 1e300, float("inf"), "text", "", b"\xff", "1e5"]
        return self.random.choice(values)

    def _float(self) -> Any:
        values: list[Any] = [0.0, -1.0, 60.0, 1e9, 1e300, -1e300, 1e-300, 604800.0]
        if not self._is_mysql:
            values += [float("inf"), float("-inf")]
        if self.database.backend == "postgresql":
            values.append(float("nan"))
        if self._is_sqlite:
            values += ["text", b"\xff", ""]
        return self.random.choice(values)

    def _time(self) -> Any:
        recent = datetime.now(UTC) - timedelta(seconds=self.random.randrange(100_000))
        if self._is_sqlite:
            texts = (
                "", "no time", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-13-45T99:99:99Z",
                "infinity", "2026-11-23 21:02:33", "2026-11-23T21:02:33+14:00", "0000-00-00T00:00:00Z",
                "-4713-01-01T00:00:00Z", "10000-01-01T00:00:00Z", 5, 1.5, *BYTES,
            )  # fmt: skip
            usual = f"{recent:%Y-%m-%dT%H:%M:%S.%fZ}"
        elif self._is_mysql:
            texts = ("1970-01-01 00:00:01", "2038-01-19 03:14:07.999999", "0000-00-00 00:00:00")
            usual = f"{recent:%Y-%m-%d %H:%M:%S.%f}"
        else:
            texts = (
                "infinity", "-infinity", "0001-01-01 00:00:00Z", "4713-01-01 00:00:00Z BC",
                "9999-12-31 23:59:59.999999Z", "294276-12-31 23:59:59Z", "10000-01-01 00:00:00Z",
            )  # fmt: skip
            usual = recent.isoformat()
        return self._one_of(usual, lambda: self.random.choice(texts), often=0.6)


class NotUtf8:
    """Bytes to be stored as text."""

    def __init__(self, data: bytes) -> None:
        self.data = data


# -- how they get there ----------------------------------------------------------------------------------------------

Rows = Iterable[tuple[str, dict[str, Any]]]


def _insert_sqlite(database: Database, rows: Rows) -> None:
    assert isinstance(database, SqliteDatabase)
    with contextlib.closing(sqlite3.connect(database.path, timeout=30)) as connection, connection:
        for table, row in rows:
            marks, values = _bound(row)
            connection.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})", values)


def _bound(row: dict[str, Any]) -> tuple[str, list[Any]]:
    marks = ["CAST(? AS TEXT)" if isinstance(value, NotUtf8) else "?" for value in row.values()]
    return ", ".join(marks), [value.data if isinstance(value, NotUtf8) else value for value in row.values()]


def _insert_postgresql(database: Database, rows: Rows) -> None:
    assert isinstance(database, PostgresqlDatabase)
    with psycopg.connect(database.server, options=f"-csearch_path={database.schema}") as connection:
        for table, row in rows:
            marks = ", ".join(["%s"] * len(row))
            values = [value.replace("\0", "") if isinstance(value, str) else value for value in row.values()]
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) ON CONFLICT DO NOTHING", values
            )


def _insert_mysql(database: Database, rows: Rows) -> None:
    assert isinstance(database, MysqlDatabase)
    options = connection_options(database.url)
    with (
        contextlib.closing(pymysql.connect(**options, charset="utf8mb4")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")  # which takes zero dates
        for table, row in rows:
            names = ", ".join(f"`{name}`" for name in row)
            marks = ", ".join(["%s"] * len(row))
            with contextlib.suppress(pymysql.OperationalError):  # MariaDB takes no JSON deeper than 32 levels
                cursor.execute(f"INSERT IGNORE INTO {table} ({names}) VALUES ({marks})", list(row.values()))
        connection.commit()


def _update_type_sqlite(database: Database, task_type: str, values: dict[str, Any]) -> None:
    assert isinstance(database, SqliteDatabase)
    with contextlib.closing(sqlite3.connect(database.path, timeout=30)) as connection, connection:
        pairs = ", ".join(
            f"{name} = {'CAST(? AS TEXT)' if isinstance(value, NotUtf8) else '?'}"
            for name, value in values.items()
        )
        connection.execute(f"UPDATE goque_type SET {pairs} WHERE type = ?", [*_bound(values)[1], task_type])


def _update_type_postgresql(database: Database, task_type: str, values: dict[str, Any]) -> None:
    assert isinstance(database, PostgresqlDatabase)
    with psycopg.connect(database.server, options=f"-csearch_path={database.schema}") as connection:
        pairs = ", ".join(f"{name} = %s" for name in values)
        connection.execute(f"UPDATE goque_type SET {pairs} WHERE type = %s", [*values.values(), task_type])


def _update_type_mysql(database: Database, task_type: str, values: dict[str, Any]) -> None:
    assert isinstance(database, MysqlDatabase)
    options = connection_options(database.url)
    with (
        contextlib.closing(pymysql.connect(**options, charset="utf8mb4", autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        pairs = ", ".join(f"`{name}` = %s" for name in values)
        cursor.execute(f"UPDATE goque_type SET {pairs} WHERE type = %s", [*values.values(), task_type])


INSERT: dict[str, Callable[[Database, Rows], None]] = {
    "sqlite": _insert_sqlite,
    "postgresql": _insert_postgresql,
    "mysql": _insert_mysql,
}
UPDATE_TYPE: dict[str, Callable[[Database, str, dict[str, Any]], None]] = {
    "sqlite": _update_type_sqlite,
    "postgresql": _update_type_postgresql,
    "mysql": _update_type_mysql,
}
