"""Servers as tests need them, and what tests do to them."""

from __future__ import annotations

import contextlib
import os
import random
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import aiomysql
import psycopg
import pymysql
from backend import Backend, run
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor

from goque.storage.mysql.dialect import MysqlDialect
from goque.storage.mysql.url import connection_options
from goque.storage.postgresql.dialect import PostgresqlDialect
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.storage import SqlStorage

MYSQL_URL = "mysql://root@127.0.0.1:3306/test"
SYDNEY = "SET time_zone = '+10:00'"
"""An application's session is in its own time zone."""

POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/test"


class ServerBackend(Backend):
    """A database on a server, and what tests do to the server."""

    server: str

    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server)
        return parts.hostname or "127.0.0.1", parts.port or self.default_port

    def eventually(self, holds: Callable[[], bool], seconds: float = 10.0, pause: float = 0.01) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end
            time.sleep(pause)

    default_port: ClassVar[int]
    commit: ClassVar[bytes]
    """What a client says to commit, on the wire."""
    commits_ends: ClassVar[bytes]
    """What a client that is used often says to end tasks that went well, and to commit that."""

    @abstractmethod
    def kill_connections(self) -> None:
        """End every connection to this database but the one that says so."""

    @abstractmethod
    def connections(self) -> int:
        """Count the connections to this database, but not the one that counts."""

    @abstractmethod
    def shorten_deadline(self, storage: SqlStorage, seconds: float) -> None:
        """Let an open connection wait no longer than that."""

    @abstractmethod
    def wins_deadlocks(self, connection: Any) -> None:
        """Make the other one the victim of a deadlock."""

    @abstractmethod
    def wait_until_somebody_waits(self) -> None:
        """Wait until a connection to this database waits for a lock."""

    @abstractmethod
    def kill_waiting(self) -> None:
        """End the connection to this database that waits for a lock."""

    @abstractmethod
    def read_only(self) -> AbstractContextManager[str]:
        """Return the URL of a server that takes no writes; on MySQL nobody's writes, so it must not be a shared one."""

    @abstractmethod
    def refused_urls(self) -> dict[str, str]:
        """Return URLs of which one part is wrong, with words that the refusal has."""


class PostgresqlBackend(ServerBackend):
    """A schema of its own in the database that the tests are given."""

    name = "postgresql"
    driver = asyncio_driver = "psycopg"
    default_port = 5432
    commit = b"COMMIT\0"
    commits_ends = b"SET status = 'done'"

    def __init__(self, folder: Path) -> None:
        del folder
        super().__init__()
        self.server = os.environ.get("GOQUE_TEST_POSTGRES_URL") or POSTGRES_URL
        self.schema = f"goque_test_{uuid.uuid4().hex}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {self.schema}")
        separator = "&" if "?" in self.server else "?"
        self.url = (
            f"{self.server}{separator}application_name={self.schema}&options=-csearch_path%3D{self.schema}"
        )
        self.sqlalchemy_url = self.url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.sqlalchemy_asyncio_url = self.sqlalchemy_url

    def dialect(self, *, port: int | None = None) -> PostgresqlDialect:
        url = self.url if port is None else _with_port(self.url, port)
        return PostgresqlDialect(url, clock=self.clock)

    def kill_connections(self) -> None:
        others = "FROM pg_stat_activity WHERE application_name = :name AND pid <> pg_backend_pid()"
        killed = self.execute(f"SELECT pid, pg_terminate_backend(pid) {others}", name=self.schema)
        pids = [pid for pid, _ in killed]
        left = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY (:pids)"
        self.eventually(lambda: not self.execute(left, pids=pids))

    def connections(self) -> int:
        with psycopg.connect(self.server, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (self.schema,)
            ).fetchone()
        assert row is not None
        return int(row[0])

    def shorten_deadline(self, storage: SqlStorage, seconds: float) -> None:
        with storage._connections as session:
            session.connection.deadline = seconds

    def wins_deadlocks(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SET LOCAL deadlock_timeout = '60s'")

    def wait_until_somebody_waits(self) -> None:
        self.eventually(
            lambda: bool(
                self.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = :name AND wait_event_type = 'Lock'",
                    name=self.schema,
                )
            )
        )

    def kill_waiting(self) -> None:
        self.wait_until_somebody_waits()
        waiting = "FROM pg_stat_activity WHERE application_name = :name AND wait_event_type = 'Lock'"
        self.execute(f"SELECT pg_terminate_backend(pid) {waiting}", name=self.schema)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[str]:
        yield f"{self.url}%20-cdefault_transaction_read_only%3Don"

    def refused_urls(self) -> dict[str, str]:
        host, port = self.address()
        return {
            _with_path(self.server, "/no_such_database"): "the server has no database 'no_such_database'",
            f"postgresql://no_such_role:s3cret@{host}:{port}/test": "refuses",
        }

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url)

    def run_script(self, text: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(text)

    def django_settings(self) -> dict[str, Any]:
        options = conninfo_to_dict(self.url)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": options.pop("dbname"),
            "USER": options.pop("user"),
            "OPTIONS": options,
        }

    async def connect_asyncio(self, *, autocommit: bool = False) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self.url, autocommit=autocommit)

    def connect_autocommit(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def rows_as_mappings(self, connection: psycopg.Connection[Any]) -> None:
        connection.row_factory = dict_row

    def indexes(self) -> set[str]:
        sql = "SELECT indexname FROM pg_indexes WHERE tablename = 'goque_task' AND schemaname = :schema"
        return {name for (name,) in self.execute(sql, schema=self.schema)}

    def column_types(self) -> list[tuple[str, str]]:
        sql = (
            "SELECT attname, format_type(atttypid, atttypmod) || attnotnull FROM pg_attribute"
            " WHERE attrelid = to_regclass('goque_task') AND attnum > 0 ORDER BY attnum"
        )
        return self.execute(sql)

    def execute(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(percent_placeholders(sql), params)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        super().close()
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {self.schema} CASCADE")


class MysqlBackend(ServerBackend):
    """A database of its own on the server that the tests are given, or on one that a test has started."""

    name = "mysql"
    driver = "PyMySQL"
    asyncio_driver = "aiomysql"
    default_port = 3306
    commit = b"\x03COMMIT"
    commits_ends = commit

    def __init__(self, folder: Path, *, server: str | None = None) -> None:
        del folder
        super().__init__()
        self.server = server or os.environ.get("GOQUE_TEST_MYSQL_URL") or MYSQL_URL
        self.database = f"goque_test_{uuid.uuid4().hex}"
        self._serve(f"CREATE DATABASE {self.database}")
        self.url = _with_path(self.server, f"/{self.database}")
        self.sqlalchemy_url = "mysql+pymysql://" + self.url.partition("://")[2]
        self.sqlalchemy_asyncio_url = "mysql+aiomysql://" + self.url.partition("://")[2]

    def dialect(self, *, port: int | None = None) -> MysqlDialect:
        url = (
            self.url if port is None else f"{_with_port(self.url, port)}?ssl_disabled=true"
        )  # a proxy reads along
        return MysqlDialect(url, clock=self.clock)

    def connect(self) -> pymysql.connections.Connection[Any]:
        return pymysql.connect(**connection_options(self.url), charset="utf8mb4", init_command=SYDNEY)

    def run_script(self, text: str) -> None:
        options = {**connection_options(self.url), "client_flag": CLIENT.MULTI_STATEMENTS}
        with contextlib.closing(pymysql.connect(**options)) as connection:
            cursor = connection.cursor()
            cursor.execute(text)
            while cursor.nextset():
                pass

    def django_settings(self) -> dict[str, Any]:
        pymysql.install_as_MySQLdb()
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": self.database,
            "OPTIONS": {**connection_options(self.url), "init_command": SYDNEY},
        }

    async def connect_asyncio(self, *, autocommit: bool = False) -> aiomysql.Connection:
        options = connection_options(self.url)
        options["db"] = options.pop("database")
        return await aiomysql.connect(
            **options, charset="utf8mb4", init_command=SYDNEY, autocommit=autocommit
        )

    def connect_autocommit(self) -> pymysql.connections.Connection[Any]:
        return pymysql.connect(**connection_options(self.url), charset="utf8mb4", autocommit=True)

    def rows_as_mappings(self, connection: Any) -> None:
        connection.cursorclass = DictCursor

    def indexes(self) -> set[str]:
        sql = (
            "SELECT DISTINCT index_name FROM information_schema.statistics"
            " WHERE table_schema = database() AND table_name = 'goque_task'"
        )
        return {name for (name,) in self.execute(sql)}

    def column_types(self) -> list[tuple[str, str]]:
        sql = (
            "SELECT column_name, concat_ws(' ', column_type, collation_name, is_nullable)"
            " FROM information_schema.columns"
            " WHERE table_schema = database() AND table_name = 'goque_task' ORDER BY ordinal_position"
        )
        return self.execute(sql)

    def execute(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(self.connect_autocommit()) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(percent_placeholders(sql), params)
            return list(cursor.fetchall())

    def kill_connections(self) -> None:
        for number in self._others():
            with contextlib.suppress(pymysql.OperationalError):  # it ended by itself meanwhile
                self._serve(f"KILL {number}")
        self.eventually(lambda: not self._others())

    def connections(self) -> int:
        return len(self._others())

    def shorten_deadline(self, storage: SqlStorage, seconds: float) -> None:
        with storage._connections as session:
            session.connection._read_timeout = seconds

    def wins_deadlocks(self, connection: Any) -> None:
        """Have changed more rows, which is what InnoDB spares."""
        run(connection, "CREATE TEMPORARY TABLE weight (n INT) ENGINE = InnoDB")
        run(connection, "START TRANSACTION")
        run(connection, f"INSERT INTO weight VALUES {', '.join(['(1)'] * 1000)}")

    def wait_until_somebody_waits(self) -> None:
        # InnoDB answers from a copy that it renews only when nobody has read it for 0.1 s, on the whole server
        self.eventually(lambda: bool(self._waiting()), pause=random.uniform(0.15, 0.3))

    def kill_waiting(self) -> None:
        self.wait_until_somebody_waits()
        for (number,) in self._waiting():
            self._serve(f"KILL {number}")

    def _waiting(self) -> list[tuple[Any, ...]]:
        return self._serve(
            "SELECT process.id FROM information_schema.innodb_trx AS trx JOIN information_schema.processlist AS process"
            " ON process.id = trx.trx_mysql_thread_id"
            f" WHERE trx_state = 'LOCK WAIT' AND process.db = '{self.database}'"
        )

    @contextlib.contextmanager
    def read_only(self) -> Iterator[str]:
        user = f"reader_{uuid.uuid4().hex[:8]}"
        accounts = (
            f"'{user}'@'%'",
            f"'{user}'@'localhost'",
        )  # or else nobody's account at localhost is taken
        for account in accounts:
            self._serve(f"CREATE USER {account} IDENTIFIED BY ''")
            self._serve(f"GRANT ALL ON {self.database}.* TO {account}")
        self._serve("SET GLOBAL read_only = 1")
        try:
            host, port = self.address()
            yield f"mysql://{user}@{host}:{port}/{self.database}"
        finally:
            self._serve("SET GLOBAL read_only = 0")
            self._serve(f"DROP USER {', '.join(accounts)}")

    def refused_urls(self) -> dict[str, str]:
        host, port = self.address()
        return {
            _with_path(self.server, "/no_such_database"): "the server has no database 'no_such_database'",
            f"mysql://no_such_user:s3cret@{host}:{port}/{self.database}": "refuses the user or the password",
            f"mysql://root:s3cret@{host}:{port}/{self.database}": "refuses the user or the password",
        }

    def close(self) -> None:
        super().close()
        self._serve(f"DROP DATABASE {self.database}")

    def _others(self) -> list[int]:
        sql = f"SELECT id FROM information_schema.processlist WHERE db = '{self.database}'"
        return [row[0] for row in self._serve(sql)]

    def _serve(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement outside of this database."""
        options = connection_options(self.server)
        with (
            contextlib.closing(pymysql.connect(**options, autocommit=True)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=path))
