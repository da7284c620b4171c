"""Servers that follow another, and servers that forget: a primary with a standby, and one that loses commits.

All run from installed binaries, with their data in temporary directories, and belong to the test that made them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pymysql
import services
from eventually import eventually
from private_servers import PrivateServer

from goque.storage.mysql.url import connection_options

FORGETFUL_MYSQL = {
    "innodb_flush_log_at_trx_commit": 0,
    "innodb_flush_log_at_timeout": 2700,
    "innodb_max_dirty_pages_pct_lwm": 0,
    "innodb_max_dirty_pages_pct": 99,
    "innodb_adaptive_flushing": 0,
    "innodb_stats_auto_recalc": 0,
}
"""The log is written by the clock, at most 45 minutes later, and before a page: so no page is written either."""

FLUSHED_ONCE_MORE = 2.0
"""Seconds in which the log is written a last time by the clock as it was."""


def ask_postgresql(server: PrivateServer, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement on a PostgreSQL, waiting for no standby."""
    with psycopg.connect(server.url, autocommit=True, options="-csynchronous_commit=local") as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def ask_mysql(server: PrivateServer, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement on a MariaDB or MySQL."""
    options = {**connection_options(server.url), "autocommit": True}
    with contextlib.closing(pymysql.connect(**options)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def kill(server: PrivateServer) -> None:
    """End all processes of a server at once with SIGKILL, as a loss of power does."""
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it served a client that has left meanwhile
            process.kill()
    server.process.wait(services.START_PATIENCE)
    psutil.wait_procs(processes[1:], timeout=services.START_PATIENCE)


# -- servers that lose commits ---------------------------------------------------------------------------------------


class ForgetfulServer(PrivateServer):
    """A server that acknowledges commits before they are on disk, as `synchronous_commit=off` and its like allow.

    The usual loss is the last part of a second. Here a test chooses when it begins: what is committed after
    `write_nothing` is in the server's memory only, until `lose_power`.
    """

    def write_nothing(self) -> None:
        """From now on, acknowledge commits and write none of them to disk."""
        if self.name == "postgresql":
            ask_postgresql(self, "ALTER SYSTEM SET synchronous_commit = off")
            ask_postgresql(self, "ALTER SYSTEM SET autovacuum = off")  # it may write what it finds
            ask_postgresql(self, "SELECT pg_reload_conf()")
            eventually(lambda: ask_postgresql_setting(self, "synchronous_commit") == "off")
            ask_postgresql(self, "CHECKPOINT")
            psutil.Process(eventually(lambda: _child_of(self, "walwriter"))).suspend()
            return
        for name, value in FORGETFUL_MYSQL.items():
            ask_mysql(self, f"SET GLOBAL {name} = {value}")
        time.sleep(FLUSHED_ONCE_MORE)
        ask_mysql(self, "FLUSH ENGINE LOGS")

    def lose_power(self) -> None:
        """Kill it with what it has not written, and start it again."""
        kill(self)
        self.start()


def ask_postgresql_setting(server: PrivateServer, name: str) -> str:
    """Return what a new session of an application would have."""
    with psycopg.connect(server.url) as connection:
        return str(connection.execute(f"SHOW {name}").fetchall()[0][0])


def _child_of(server: PrivateServer, title: str) -> int:
    for process in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if title in " ".join(process.cmdline()):
                return process.pid
    return 0


# -- PostgreSQL: a primary and a standby -----------------------------------------------------------------------------


class PostgresqlStandby(PrivateServer):
    """A standby, made of a backup of its primary, which streams to it."""

    def __init__(self, primary: PrivateServer) -> None:
        (self._kind,) = [server for server in services.SERVERS if server.name == "postgresql"]
        self.name = "postgresql"
        self.data = Path(tempfile.mkdtemp(prefix="goque-standby-"))
        self.port = services._free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._primary = f"host=127.0.0.1 port={primary.port} user=postgres"
        self._back_up(primary.port)
        self.process = services.run_postgresql(self.data, self.port)
        self._wait_until_it_answers()
        self.wait_until_streaming()

    def cut_off(self) -> None:
        """Receive nothing from the primary any more; what was received stays."""
        self._follow("")
        eventually(lambda: not ask_postgresql(self, "SELECT 1 FROM pg_stat_wal_receiver"))

    def follow_again(self) -> None:
        """Receive from the primary what was missed."""
        self._follow(self._primary)
        self.wait_until_streaming()

    def promote(self) -> None:
        """Become a primary."""
        ask_postgresql(self, "SELECT pg_promote(wait => true)")
        eventually(lambda: ask_postgresql(self, "SELECT pg_is_in_recovery()") == [(False,)])

    def wait_until_streaming(self) -> None:
        """Wait until it receives what the primary writes."""
        sql = "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        eventually(lambda: ask_postgresql(self, sql), within=60)

    def _follow(self, primary: str) -> None:
        ask_postgresql(self, f"ALTER SYSTEM SET primary_conninfo = '{primary}'")
        ask_postgresql(self, "SELECT pg_reload_conf()")

    def _back_up(self, port: int) -> None:
        account = services._account(*services.POSTGRESQL_ACCOUNTS)
        found = services._binaries("pg_basebackup", under=services.POSTGRESQL_BINARIES)
        assert found is not None, "pg_basebackup is missing; it comes with the client of PostgreSQL"
        if account is not None:
            shutil.chown(self.data, account.pw_uid, account.pw_gid)
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-D", str(self.data / "db")]
        made = subprocess.run(
            [found[0], *where, "-R", "--checkpoint=fast", "--wal-method=stream"],
            capture_output=True,
            check=False,
            **services._as(account),
        )
        assert made.returncode == 0, made.stderr.decode(errors="replace")


class PostgresqlPair:
    """A primary and a standby of it.

    Attributes:
        url: names both hosts, the first primary first.
        current: the one that takes writes.

    Args:
        synchronous: whether a commit is acknowledged only when the standby has it on disk.
    """

    backend = "postgresql"

    def __init__(self, *, synchronous: bool) -> None:
        self.primary: PrivateServer = PrivateServer("postgresql")
        self.standby = PostgresqlStandby(self.primary)
        self.current: PrivateServer = self.primary
        if synchronous:
            self.set_on_primary("synchronous_standby_names", "*")
            sql = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            eventually(lambda: ask_postgresql(self.primary, sql))

    @property
    def url(self) -> str:
        """The URL of both, of which one takes writes."""
        return f"postgresql://postgres@127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}/postgres"

    def set_on_primary(self, name: str, value: str) -> None:
        """Change a setting of the primary for all sessions."""
        ask_postgresql(self.primary, f"ALTER SYSTEM SET {name} = '{value}'")
        ask_postgresql(self.primary, "SELECT pg_reload_conf()")
        eventually(lambda: ask_postgresql(self.primary, f"SHOW {name}") == [(value,)])

    def cut_off(self) -> None:
        """Let the standby receive nothing any more."""
        self.standby.cut_off()

    def wait_until_equal(self) -> None:
        """Wait until the standby shows all that the primary has committed."""
        [(end,)] = ask_postgresql(self.primary, "SELECT pg_current_wal_lsn()")
        eventually(
            lambda: ask_postgresql(self.standby, f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{end}'")
        )

    def fail_over(self) -> None:
        """Kill the primary and promote the standby; what the standby has not received is lost."""
        if self.primary.process.poll() is None:
            kill(self.primary)
        self.standby.resume()
        self.current = self.standby
        self.standby.promote()

    def bring_old_primary_back(self) -> None:
        """Start the old primary as a server that takes connections and no writes."""
        (self.primary.data / "db/standby.signal").touch()
        self.primary.start()
        assert ask_postgresql(self.primary, "SELECT pg_is_in_recovery()") == [(True,)]

    def close(self) -> None:
        """End both, and remove their data."""
        self.standby.close()
        self.primary.close()


# -- MariaDB: a primary and a replica --------------------------------------------------------------------------------


class MariadbPair:
    """A MariaDB and its asynchronous replica, which takes no writes.

    Attributes:
        url: names both hosts, the first primary first.
        current: the one that takes writes.
    """

    backend = "mysql"

    def __init__(self) -> None:
        self.primary = _ReplicatedMariadb(1)
        self.standby = _ReplicatedMariadb(2)
        self.current: PrivateServer = self.primary
        for server in (self.primary, self.standby):
            ask_mysql(server, "RESET MASTER")  # each has made its own system tables
        self.follow_again()
        ask_mysql(self.standby, "SET GLOBAL read_only = 1")
        for server in (
            self.primary,
            self.standby,
        ):  # root may write in spite of read_only, an application may not
            for host in ("127.0.0.1", "localhost", "%"):
                ask_mysql(server, f"CREATE OR REPLACE USER app@'{host}'")
                ask_mysql(server, f"GRANT ALL ON *.* TO app@'{host}'")
                ask_mysql(server, f"REVOKE SUPER, READ_ONLY ADMIN ON *.* FROM app@'{host}'")

    @property
    def url(self) -> str:
        """The URL of both, of which one takes writes."""
        return f"mysql://app@127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}/mysql"

    def cut_off(self) -> None:
        """Let the replica receive nothing any more."""
        ask_mysql(self.standby, "STOP SLAVE")

    def follow_again(self) -> None:
        """Let the replica receive what it missed."""
        ask_mysql(
            self.standby,
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={self.primary.port}, MASTER_USER='root', "
            "MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
        )
        ask_mysql(self.standby, "START SLAVE")

    def wait_until_equal(self) -> None:
        """Wait until the replica has all that the primary has committed."""
        [(position,)] = ask_mysql(self.primary, "SELECT @@gtid_binlog_pos")
        assert ask_mysql(self.standby, f"SELECT MASTER_GTID_WAIT('{position}', 30)") == [(0,)]

    def fail_over(self) -> None:
        """Kill the primary and let the replica take writes; what it has not received is lost."""
        if self.primary.process.poll() is None:
            kill(self.primary)
        self.standby.resume()
        self.current = self.standby
        ask_mysql(self.standby, "STOP SLAVE")
        ask_mysql(self.standby, "RESET SLAVE ALL")
        ask_mysql(self.standby, "SET GLOBAL read_only = 0")

    def bring_old_primary_back(self) -> None:
        """Start the old primary as a server that takes connections and no writes."""
        self.primary.start()
        ask_mysql(self.primary, "SET GLOBAL read_only = 1")

    def close(self) -> None:
        """End both, and remove their data."""
        self.standby.close()
        self.primary.close()


class _ReplicatedMariadb(PrivateServer):
    """A MariaDB that writes a binary log."""

    def __init__(self, number: int) -> None:
        self._options = [
            f"--server-id={number}",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--sync-binlog=1",
        ]
        super().__init__("mysql")
        self.stop()
        self.start()

    def start(self, **environment: str) -> None:
        self.process = run_mariadb(self.data, self.port, *self._options, **environment)
        self._wait_until_it_answers()


def run_mariadb(data: Path, port: int, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    """Run the server of a directory that `services.start_mysql` has made, with options of its own."""
    server, account = services._mysql_binary(), services._account(*services.MYSQL_ACCOUNTS)
    assert server is not None
    places = [f"--datadir={data}/db", f"--socket={data}/socket", f"--pid-file={data}/pid", f"--tmpdir={data}"]
    network = [f"--port={port}", "--bind-address=127.0.0.1"]
    user = [f"--user={account.pw_name}"] if account else []
    return services._run([server, "--no-defaults", *places, *network, *user, *options], data, environment)


def is_mariadb(server: PrivateServer) -> bool:
    """Whether it is MariaDB, whose replication is meant here, and not MySQL."""
    return "MariaDB" in str(ask_mysql(server, "SELECT VERSION()"))


# -- for both ---------------------------------------------------------------------------------------------------------

Pair = PostgresqlPair | MariadbPair


@contextlib.contextmanager
def pair_of(backend: str, *, synchronous: bool = False) -> Iterator[Pair]:
    """Make a primary with a standby for the length of the block."""
    pair: Pair = PostgresqlPair(synchronous=synchronous) if backend == "postgresql" else MariadbPair()
    try:
        yield pair
    finally:
        pair.close()


def with_database(url: str, of: str) -> str:
    """Return a URL of several hosts with the path and the query of another one."""
    several, one = urlsplit(url), urlsplit(of)
    return several._replace(path=one.path, query=one.query).geturl()
