"""The environment of a chaos run: one database, and two nodes that each reach it through their own proxy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
import pymysql
from databases import ON_SERVER, Database, PostgresqlDatabase, ServerDatabase, SqliteDatabase
from evidence import Run, read_runs
from private_servers import PrivateServer
from proxy import Proxy
from tree import Tree, python_command

from goque.storage.url import hide_password

HERE: Final = Path(__file__).resolve().parent
NODE_TIMEOUT: Final = 3.0
SHUTDOWN: Final = 2.0
KINDS: Final = {"postgres": "postgresql", "mariadb": "mysql", "mysql+pymysql": "mysql"}


class Node:
    """A run directory and a connection to the database, for one tree after the other."""

    def __init__(self, name: str, arena: Arena) -> None:
        self.name = name
        self.run_dir = arena.directory / f"run-{name}"
        self.proxy: Proxy | None = None
        self.trees: list[Tree] = []
        self.is_down = True
        self.exit_codes: list[int] = []
        self._arena = arena
        if isinstance(arena.database, ServerDatabase):
            self.proxy = Proxy(*arena.database.address())
            arena.proxies.append(self.proxy)

    @property
    def tree(self) -> Tree:
        """The newest tree."""
        return self.trees[-1]

    def start(self) -> None:
        """Start a tree. The previous tree's run directory still exists."""
        database = self._arena.database
        url = database.at_port(self.proxy.port) if self.proxy else database.url
        options = {
            "--run-dir": str(self.run_dir),
            "--node-timeout": f"{NODE_TIMEOUT:g}",
            "--on-lost-lease": "kill",
            "--shutdown-timeout": f"{SHUTDOWN:g}",
            "--log-format": "json",
        }
        parts = [part for pair in options.items() for part in pair]
        command = python_command("-m", "goque.cli", "supervise", "chaos_app:registry", *parts)
        env = {**self._arena.environment, "GOQUE_DATABASE_URL": url}
        self.trees.append(Tree(self._arena.directory, self.run_dir, database, command, env))
        self.is_down = False

    def lines(self) -> Iterator[tuple[int, float, str]]:
        """Yield the root pid, time and text of each line in the logs of this node's trees."""
        for root, stamp, _, event in self._entries():
            yield root, stamp, event

    def raw_lines(self) -> Iterator[tuple[float, str]]:
        """Yield the time and the raw text of each line in the logs of this node's trees."""
        for _, stamp, line, _ in self._entries():
            yield stamp, f"node {self.name}: {line}"

    def _entries(self) -> Iterator[tuple[int, float, str, str]]:
        for tree in self.trees:
            for line in tree.log.splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    stamp = datetime.fromisoformat(entry["time"]).timestamp()
                    yield tree.root, stamp, line, entry["event"]


class NoDatabaseError(Exception):
    """There is no usable database; the message says what to do."""


class Arena:
    """A separate database and two nodes.

    Args:
        where: a URL, or `sqlite`, `postgresql` or `mysql` for a temporary file or a private server. Only a private
            server is restarted during the run.
        sabotage: the guard to switch off; empty to change nothing.

    Attributes:
        server: the private server, or None; after a failover it is another one.
        standby: the server that follows `server`, or None.
        is_server_down: whether the server is ended, stopped, or about to fail over.
        proxies: the connections of the nodes and of the application go through these.
    """

    def __init__(self, where: str, sabotage: str = "") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="goque-chaos-"))
        self.server: PrivateServer | None = None
        self.standby: PrivateServer | None = None
        self.is_server_down = False
        self.proxies: list[Proxy] = []
        try:
            self.database = self._make_database(where)
        except BaseException as error:
            shutil.rmtree(self.directory)
            if isinstance(error, psycopg.OperationalError | pymysql.OperationalError | RuntimeError):
                raise NoDatabaseError(f"{hide_password(where)}: {' '.join(str(error).split())}") from error
            raise
        path = [str(HERE), *([str(HERE / "sabotage")] if sabotage else []), *sys.path]
        self.environment = {
            "GOQUE_CHAOS_DIARY": str(self.directory),
            "GOQUE_CHAOS_SABOTAGE": sabotage,
            "PYTHONPATH": os.pathsep.join(part for part in path if part),
        }
        self.nodes = [Node("a", self), Node("b", self)]
        self.application_url = self._way_of_the_application()

    def _make_database(self, where: str) -> Database:
        scheme = where.partition("://")[0]
        kind = KINDS.get(scheme, scheme)
        if kind == "sqlite":
            return self._make_file(where)
        if kind not in ON_SERVER:
            raise NoDatabaseError(
                f"{hide_password(where)!r} is neither a database URL nor one of sqlite, postgresql, mysql"
            )
        if "://" not in where:
            self.server = PrivateServer(kind)
            where = self.server.url
        return ON_SERVER[kind](where)

    def _make_file(self, where: str) -> Database:
        if "://" not in where:
            return SqliteDatabase(self.directory)
        path = Path(where.partition(":///")[2]).absolute()
        if path.exists():
            raise NoDatabaseError(f"{path} exists; name a new file, because the run fills it with tasks")
        return SqliteDatabase(path.parent, name=path.name)

    def _way_of_the_application(self) -> str:
        """Return a URL that leads to the server wherever it is."""
        if not isinstance(self.database, ServerDatabase):
            return self.database.url
        proxy = Proxy(*self.database.address())
        self.proxies.append(proxy)
        return self.database.at_port(proxy.port)

    @property
    def postgresql_schema(self) -> str:
        """The schema of the tables on a PostgreSQL."""
        assert isinstance(self.database, PostgresqlDatabase)
        return self.database.schema

    def move_to(self, server: PrivateServer) -> None:
        """Let every way lead to another server, which has the same database."""
        assert isinstance(self.database, ServerDatabase)
        self.server = server
        self.database.move_to(server.url)
        for proxy in self.proxies:
            proxy.server = self.database.address()

    def log_lines(self) -> Iterator[tuple[float, str]]:
        """Yield the time and the raw text of each line in the logs of all trees."""
        for node in self.nodes:
            yield from node.raw_lines()

    @property
    def diary(self) -> list[list[str]]:
        """The words of each line in the handlers' diary."""
        path = self.directory / "diary"
        return [line.split() for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def is_up(self) -> bool:
        """Return whether both nodes have a tree with a lease."""
        return all("up as pid" in node.tree.log for node in self.nodes)

    def is_recovered(self) -> bool:
        """Return whether no files of killed trees are left in the run directories."""
        return all(
            len([path for path in node.run_dir.iterdir() if path.is_dir()]) == 1 for node in self.nodes
        )

    def running_in(self, root: int | None = None) -> set[str]:
        """Return the tasks whose handler is running in the tree of a root, or in any living process."""
        return {
            run.task
            for run in self._open_runs()
            if (Path(f"/proc/{run.pid}").exists() if root is None else run.root == root)
        }

    def just_begun_in(self, root: int, temper: str) -> set[str]:
        """Return the tasks of a temper whose handler began in the tree of a root within the last second."""
        latest = time.time() - 1.0
        return {
            run.task
            for run in self._open_runs()
            if run.root == root and run.temper == temper and run.began > latest
        }

    def _open_runs(self) -> list[Run]:
        return [run for task in read_runs(self.diary).values() for run in task if not run.how]

    def living(self) -> dict[int, str]:
        """Return the living processes that any tree has started, by pid."""
        return {
            pid: name for node in self.nodes for tree in node.trees for pid, name in tree.living().items()
        }

    def close(self, *, keep: bool) -> None:
        """Remove everything; with `keep`, leave the diary and the logs."""
        for proxy in self.proxies:
            proxy.close()
        if self.standby:
            self.standby.close()
        if self.server:
            self.server.close()  # with all its data
        else:
            self.database.drop()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
