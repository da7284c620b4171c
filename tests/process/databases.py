"""The databases that trees work on: a SQLite file, or a schema or database of a test's own on a server."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pymysql
import pytest
from eventually import eventually

from goque import Task, TaskFilter, TaskQueueManager
from goque.storage import open_storage
from goque.storage.contract import AttemptRow
from goque.storage.mysql.url import connection_options
from goque.task_row import CLAIMED_STATUSES

BACKENDS = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")

on_every_backend = pytest.mark.parametrize("backend", BACKENDS)
on_every_server = pytest.mark.parametrize("backend", SERVERS)
MOVES = "CREATE TABLE moves (type VARCHAR(255), old VARCHAR(50), new VARCHAR(50))"
TRIGGER = "CREATE TRIGGER log_moves AFTER UPDATE ON goque_task FOR EACH ROW"
LOG_MOVE = "INSERT INTO moves VALUES (NEW.type, OLD.status, NEW.status)"
TABLES = ("goque_task", "goque_type", "goque_node", "goque_schedule", "goque_attempt")


class Database(ABC):
    """A database that one or more trees share, empty and migrated."""

    backend: str

    def __init__(self, url: str, *, migrate: bool = True) -> None:
        self.url = url
        self.queue = TaskQueueManager(url)
        if migrate:
            with contextlib.closing(open_storage(url)) as storage:
                storage.migrate()

    def enqueue(self, task_type: str, *names: str, payload: Any = None, **options: Any) -> list[Task]:
        """Insert a task for each name, which becomes its external id."""
        return self.queue.add_tasks(
            [
                Task(task_type, payload if payload is not None else {}, external_id=name, **options)
                for name in names
            ]
        )

    def task(self, name: str, task_type: str | None = None) -> Task:
        """Read the task that was enqueued under this name."""
        (found,) = [task for task in self.tasks(task_type) if task.external_id == name]
        return found

    def tasks(self, task_type: str | None = None) -> list[Task]:
        """Read all tasks."""
        return self.queue.get_tasks(TaskFilter(task_type=task_type), limit=100_000)

    def counts(self, task_type: str | None = None) -> dict[str, int]:
        """Count tasks by status."""
        counts: Counter[str] = Counter()
        for row in self.queue.storage.count_tasks():
            if task_type in (None, row.type):
                counts[row.status] += row.count
        return dict(counts)

    def attempts(self, task: Task) -> list[AttemptRow]:
        """Read the failed attempts of a task."""
        return self.queue.storage.failed_attempts(task.id)

    def is_settled(self, task_type: str | None = None) -> bool:
        """Whether every task, or every one of a type, is terminal."""
        return not self.counts(task_type).keys() - {"done", "canceled", "attempts_left"}

    def node_states(self) -> list[str]:
        """Return the state of every node that the database remembers."""
        self.queue.storage.ping()  # an app that never started has no schema yet
        return [state for (state,) in self.execute("SELECT state FROM goque_node")]

    def assert_nobody_holds_anything(self) -> None:
        """See that nothing is claimed, no node counts as alive, and nobody holds a lock."""
        assert "alive" not in self.node_states()
        assert [task for task in self.tasks() if task.claimed_by or task.status in CLAIMED_STATUSES] == []
        self.queue.close()
        self.assert_not_in_use()

    def at_port(self, port: int) -> str:
        """Return the URL by another port of this machine, where a proxy listens."""
        parts = urlsplit(self.url)
        user = parts.netloc.rpartition("@")[0]
        in_clear = "ssl_disabled=true" if self.backend == "mysql" else parts.query  # a proxy reads along
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=in_clear))

    def address(self) -> tuple[str, int]:
        """Return the host and the port of the server."""
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port, "a server's URL names its port"
        return parts.hostname, parts.port

    @abstractmethod
    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement behind goque's back."""

    @abstractmethod
    def write_payload(self, name: str, payload: str) -> None:
        """Write the payload of the task of this name behind goque's back."""

    @abstractmethod
    def log_moves(self) -> None:
        """Have the database itself write down each change of a status into a table `moves`."""

    def moves(self) -> set[tuple[str, str, str]]:
        """Return type, old and new status of what `log_moves` has written."""
        return set(self.execute("SELECT DISTINCT type, old, new FROM moves"))

    @abstractmethod
    def assert_not_in_use(self) -> None:
        """See that no lock is held and no connection is left."""

    @abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Let nobody write for the length of the block."""

    @abstractmethod
    def kill_connections(self) -> None:
        """End every connection to this database."""

    @abstractmethod
    def drop(self) -> None:
        """Leave nothing of it on the server."""


class SqliteDatabase(Database):
    """A file."""

    backend = "sqlite"

    def __init__(self, directory: Path, *, name: str = "goque.db", migrate: bool = False) -> None:
        self.path = directory / name
        super().__init__(f"sqlite:///{self.path}", migrate=migrate)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            return connection.execute(sql).fetchall()

    def write_payload(self, name: str, payload: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.execute("UPDATE goque_task SET payload = ? WHERE external_id = ?", (payload, name))

    def assert_not_in_use(self) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("begin exclusive")
            connection.execute("rollback")

    def log_moves(self) -> None:
        self.execute(MOVES)
        self.execute(f"{TRIGGER} WHEN OLD.status <> NEW.status BEGIN {LOG_MOVE}; END")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            yield
            connection.execute("rollback")

    def kill_connections(self) -> None:
        """Do nothing: there are none."""

    def drop(self) -> None:
        """Leave the file to the temporary directory's end."""


class ServerDatabase(Database):
    """A database on a server.

    Attributes:
        server: the URL of the server itself.
    """

    server: str

    @abstractmethod
    def on_server(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement outside of this database."""

    @abstractmethod
    def connections(self) -> list[int]:
        """Return the server's numbers of all connections to this database."""

    @abstractmethod
    def account(self) -> contextlib.AbstractContextManager[str]:
        """Make an account without privileges beyond this database, and return the URL with it."""

    @abstractmethod
    def full(self, account_url: str) -> contextlib.AbstractContextManager[None]:
        """Cut all connections, and let the account have no other for the length of the block."""

    def move_to(self, server: str) -> None:
        """Go on with another server that has the same database."""
        self.queue.close()
        self.server = server
        netloc = urlsplit(server).netloc
        self.url = urlunsplit(urlsplit(self.url)._replace(netloc=netloc))
        self.queue = TaskQueueManager(self.url)

    def write_payload(self, name: str, payload: str) -> None:
        self.execute(f"UPDATE goque_task SET payload = '{payload}' WHERE external_id = '{name}'")

    def assert_not_in_use(self) -> None:
        eventually(lambda: self.connections() == [])


class PostgresqlDatabase(ServerDatabase):
    """A schema of its own."""

    backend = "postgresql"

    def __init__(self, server: str, *, migrate: bool = True) -> None:
        self.server = server
        self.schema = f"goque_test_{uuid.uuid4().hex}"
        self.on_server(f"CREATE SCHEMA {self.schema}")
        separator = "&" if "?" in server else "?"
        super().__init__(
            f"{server}{separator}application_name={self.schema}&options=-csearch_path%3D{self.schema}",
            migrate=migrate,
        )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.server, autocommit=True, options=f"-csearch_path={self.schema}"
        ) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def on_server(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def connections(self) -> list[int]:
        sql = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{self.schema}'"
        return [pid for (pid,) in self.on_server(sql)]

    def log_moves(self) -> None:
        self.execute(MOVES)
        self.execute(
            f"CREATE FUNCTION log_move() RETURNS trigger AS 'BEGIN {LOG_MOVE}; RETURN NEW; END' LANGUAGE plpgsql"
        )
        self.execute(f"{TRIGGER} WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION log_move()")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with psycopg.connect(self.server, options=f"-csearch_path={self.schema}") as connection:
            connection.execute(f"LOCK TABLE {', '.join(TABLES)} IN EXCLUSIVE MODE")
            yield
            connection.rollback()

    def kill_connections(self) -> None:
        for pid in self.connections():
            self.on_server(f"SELECT pg_terminate_backend({pid})")
            eventually(lambda pid=pid: pid not in self.connections())

    def backends(self, ports: set[int]) -> list[int]:
        """Return the server's processes at the other ends of connections from these ports."""
        found = ", ".join(map(str, ports)) or "NULL"
        sql = f"SELECT pid FROM pg_stat_activity WHERE client_port IN ({found})"
        return [pid for (pid,) in self.on_server(sql)]

    @contextlib.contextmanager
    def account(self) -> Iterator[str]:
        name = f"goque_app_{uuid.uuid4().hex[:8]}"
        self.on_server(f"CREATE ROLE {name} LOGIN")
        self.on_server(f"GRANT ALL ON SCHEMA {self.schema} TO {name}")
        for kind in ("TABLES", "SEQUENCES"):
            self.on_server(f"GRANT ALL ON ALL {kind} IN SCHEMA {self.schema} TO {name}")
        yield self.url.replace("//postgres@", f"//{name}@")
        self.on_server(f"DROP OWNED BY {name}")
        self.on_server(f"DROP ROLE {name}")

    @contextlib.contextmanager
    def full(self, account_url: str) -> Iterator[None]:
        name = urlsplit(account_url).username
        self.on_server(f"ALTER ROLE {name} CONNECTION LIMIT 0")
        self.kill_connections()
        try:
            yield
        finally:
            self.on_server(f"ALTER ROLE {name} CONNECTION LIMIT -1")

    def drop(self) -> None:
        self.queue.close()
        self.kill_connections()
        self.on_server(f"DROP SCHEMA {self.schema} CASCADE")


class MysqlDatabase(ServerDatabase):
    """A database of its own."""

    backend = "mysql"

    def __init__(self, server: str, *, migrate: bool = True) -> None:
        self.server = server
        self.name = f"goque_test_{uuid.uuid4().hex}"
        self.on_server(f"CREATE DATABASE {self.name}")
        super().__init__(urlunsplit(urlsplit(server)._replace(path=f"/{self.name}")), migrate=migrate)

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._run(self.url, sql)

    def on_server(self, sql: str) -> list[tuple[Any, ...]]:
        return self._run(self.server, sql)

    def _run(self, url: str, sql: str) -> list[tuple[Any, ...]]:
        options = connection_options(url)
        with (
            contextlib.closing(pymysql.connect(**options, charset="utf8mb4", autocommit=True)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    def connections(self) -> list[int]:
        sql = f"SELECT id FROM information_schema.processlist WHERE db = '{self.name}'"
        return [number for (number,) in self.on_server(sql)]

    def log_moves(self) -> None:
        self.execute(MOVES)
        self.execute(f"{TRIGGER} BEGIN IF OLD.status <> NEW.status THEN {LOG_MOVE}; END IF; END")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with (
            contextlib.closing(pymysql.connect(**connection_options(self.url))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"LOCK TABLES {', '.join(f'{table} READ' for table in TABLES)}")
            yield
            cursor.execute("UNLOCK TABLES")

    def kill_connections(self) -> None:
        killed = set(self.connections())
        for number in killed:
            with contextlib.suppress(pymysql.OperationalError):  # it ended by itself meanwhile
                self.on_server(f"KILL {number}")
        eventually(lambda: not killed.intersection(self.connections()))

    @contextlib.contextmanager
    def account(self) -> Iterator[str]:
        name = f"goque_app_{uuid.uuid4().hex[:8]}"
        users = (f"'{name}'@'%'", f"'{name}'@'localhost'")  # the latter goes before nobody's at localhost
        for user in users:
            self.on_server(f"CREATE USER {user} IDENTIFIED BY ''")
            self.on_server(f"GRANT ALL ON {self.name}.* TO {user}")
        yield self.url.replace("//root@", f"//{name}@")
        self.on_server(f"DROP USER {', '.join(users)}")

    @contextlib.contextmanager
    def full(self, account_url: str) -> Iterator[None]:
        options = {**connection_options(account_url), "database": None}
        others = f"SELECT id FROM information_schema.processlist WHERE db = '{self.name}'"
        with (
            contextlib.closing(pymysql.connect(**connection_options(self.server), autocommit=True)) as root,
            root.cursor() as cursor,
            contextlib.ExitStack() as fillers,
        ):
            cursor.execute("SET GLOBAL max_connections = 10")
            fillers.callback(cursor.execute, "SET GLOBAL max_connections = 151")
            while cursor.execute(others):
                for (number,) in cursor.fetchall():
                    with contextlib.suppress(pymysql.OperationalError):  # it ended by itself meanwhile
                        cursor.execute(f"KILL {number}")
                with contextlib.suppress(pymysql.OperationalError):  # the last one is refused
                    while True:
                        fillers.enter_context(contextlib.closing(pymysql.connect(**options)))
            yield

    def drop(self) -> None:
        self.queue.close()
        self.kill_connections()
        self.on_server(f"DROP DATABASE {self.name}")


SHARED_SERVERS = {
    "postgresql": ("GOQUE_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"),
    "mysql": ("GOQUE_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
}
ON_SERVER: dict[str, type[PostgresqlDatabase | MysqlDatabase]] = {
    "postgresql": PostgresqlDatabase,
    "mysql": MysqlDatabase,
}


def make_database(backend: str, directory: Path, *, migrate: bool = True) -> Database:
    """Make a database of the test's own; a server that is missing is an error in CI and a loud skip elsewhere."""
    if backend == "sqlite":
        return SqliteDatabase(directory)
    variable, default = SHARED_SERVERS[backend]
    try:
        return ON_SERVER[backend](os.environ.get(variable) or default, migrate=migrate)
    except (psycopg.OperationalError, pymysql.OperationalError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO {backend.upper()} SERVER, run `scripts/services up`: {str(error).strip()}")
