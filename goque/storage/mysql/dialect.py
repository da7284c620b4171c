"""The dialect of MySQL and MariaDB: PyMySQL, READ COMMITTED, and every session in UTC."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - looking up a host's address loads it: megabytes, better shared over a fork
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

import pymysql
from pymysql.constants import CLIENT

from goque.errors import ConfigurationError, DatabaseUnavailableError
from goque.storage.contract import DueLevel, Watcher
from goque.storage.foreign_servers import refuse_foreign_server
from goque.storage.instants import EPOCH, due_at
from goque.storage.mysql import rows as mysql_rows
from goque.storage.mysql.connection import GoqueConnection
from goque.storage.mysql.due_levels import AT_ONCE, highest_levels
from goque.storage.mysql.errors import DUPLICATE, refused
from goque.storage.mysql.limits import MysqlKeys
from goque.storage.mysql.nudge import NudgeListener, nudge
from goque.storage.mysql.opened_connection import OpenedConnection
from goque.storage.mysql.pool import MysqlPool
from goque.storage.mysql.session import DEADLINE, CallerSession, Clock, MysqlSession
from goque.storage.mysql.several_hosts import OneOfSeveralSession, connect_to_writable, is_same_server
from goque.storage.mysql.statements import (
    INSERT_DUE_TASK,
    MYSQL_STATEMENTS,
    PRESENT,
    TAKEN,
)
from goque.storage.mysql.unique_keys import KEY_IS_HELD
from goque.storage.mysql.url import connection_options, servers
from goque.storage.mysql.watcher import MysqlWatcher
from goque.storage.sql import steps as ask
from goque.storage.sql.caller_connection import (
    is_of,
    not_of_driver,
    unwrap_asyncio_connection,
    unwrap_connection,
)
from goque.storage.sql.connections import Connections, SecondConnection
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.limits.key_queries import KeyQueries
from goque.storage.sql.session import Session
from goque.storage.sql.statements.complete import Statements
from goque.storage.sql.steps import Steps, await_steps
from goque.storage.url import hide_password
from goque.task import Task

SESSION: Final = """
    SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION',
        innodb_lock_wait_timeout = 5, sql_safe_updates = 0, sql_big_selects = 1,
        sql_select_limit = 18446744073709551615, completion_type = NO_CHAIN, wait_timeout = 28800"""
"""What a server's defaults must not decide. A statement of goque's may lack a key, its result is whole, a COMMIT does
not end the connection, and an idle connection stays open for 8 hours. DEFAULT would mean the server's own value."""

OF_MARIADB: Final = """
    SET SESSION tx_isolation = 'READ-COMMITTED', tx_read_only = 0, max_statement_time = 0,
        idle_transaction_timeout = 30, idle_write_transaction_timeout = 0, idle_readonly_transaction_timeout = 0"""
"""The server ends the transaction of a process that is frozen in one: others may wait for its locks."""
OF_MYSQL: Final = """
    SET SESSION transaction_isolation = 'READ-COMMITTED', transaction_read_only = 0, max_execution_time = 0"""
"""The same that the two call differently. REPEATABLE READ locks the gaps between rows too, and claims and inserts
deadlock on those."""

LIMITS: Final = "SELECT @@max_allowed_packet, @@log_bin, @@binlog_format"

COLUMNS: Final = """
    SELECT column_name
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = :table"""

BELOW_ALL_RANKS: Final = -1000
LAST_RANK: Final = 32768
"""The rank of the lowest priority that the table can hold."""

OLDEST_MYSQL: Final = (8, 0, 17)
OLDEST_MARIADB: Final = (10, 6, 0)


ResultT = TypeVar("ResultT")


class MysqlDialect(Dialect):
    """A MySQL or MariaDB database.

    Args:
        url: the storage URL.
        clock: what time it is; tests move it, and else it is the server's.
    """

    name: ClassVar[str] = "mysql"
    creates_schema: ClassVar[bool] = False
    now_text: ClassVar[str] = "CAST(UTC_TIMESTAMP(6) AS CHAR)"
    script_begin: ClassVar[str] = ""  # each statement that changes the schema commits by itself
    moves_at_once: ClassVar[int] = 500
    locks_by_writing: ClassVar[bool] = True
    sql: Statements = MYSQL_STATEMENTS
    keys: KeyQueries = MysqlKeys()

    time = staticmethod(mysql_rows.time_text)
    read_time = staticmethod(mysql_rows.read_time)
    read_text = staticmethod(mysql_rows.read_text)
    read_task = staticmethod(mysql_rows.read_task)
    task_params = staticmethod(mysql_rows.task_params)
    encode_tasks = staticmethod(mysql_rows.batch_params)
    encode_claims = staticmethod(mysql_rows.encode_claims)
    encode_moves = staticmethod(mysql_rows.encode_moves)
    encode_list = staticmethod(mysql_rows.encode_list)

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = hide_password(url)
        self.clock = clock
        self.options = connection_options(url)
        self._servers = servers(url)
        self._returns_inserted = False
        self._address = f"mysql:{self.options['port']}/{self.options['database']}"

    def connect(self) -> MysqlSession:
        """Open a connection in autocommit, whose every wait has an end."""
        session = self._connect_to_one() if len(self._servers) == 1 else self._connect_to_one_of_several()
        try:
            self._returns_inserted = self._is_mariadb(session.connection.get_server_info())
            session.run(OF_MARIADB if self._returns_inserted else OF_MYSQL)
            [(largest, has_log, log_format)] = session.rows(LIMITS)
            self._refuse_log_of_statements(int(has_log), mysql_rows.read_text(log_format))
            self.largest_batch = int(largest) // 3
        except BaseException:
            session.close()
            raise
        return session

    def _refuse_log_of_statements(self, has_log: int, log_format: str) -> None:
        if has_log and log_format.upper() == "STATEMENT":
            raise DatabaseUnavailableError(
                f"{self.url} has binlog_format=STATEMENT, which refuses goque's writes (READ COMMITTED); "
                "set binlog_format to ROW or MIXED on the server"
            )

    def _connect_to_one(self) -> MysqlSession:
        try:
            connection = self._open(*self._servers[0])
        except (pymysql.Error, OSError) as error:
            raise refused(error, self.url) from error
        return MysqlSession(connection, self.url, self.clock)

    def _connect_to_one_of_several(self) -> MysqlSession:
        connection = connect_to_writable(self._servers, self._open, self.url)
        return OneOfSeveralSession(connection, self.url, self.clock)

    def _open(self, host: str, port: int) -> GoqueConnection:
        return GoqueConnection(
            **{**self.options, "host": host, "port": port},
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,
            conv=mysql_rows.DECODERS,
            read_timeout=DEADLINE,
            write_timeout=DEADLINE,
            init_command=SESSION,
        )

    def _is_mariadb(self, told: str) -> bool:
        """Tell the two apart by what a server says of its version, and refuse one that is too old."""
        refuse_foreign_server(told, self.url)
        is_mariadb = "mariadb" in told.lower()
        numbers = re.findall(r"(\d+)\.(\d+)\.(\d+)", told)
        version = tuple(map(int, numbers[-1] if is_mariadb else numbers[0])) if numbers else (0, 0, 0)
        if version < (OLDEST_MARIADB if is_mariadb else OLDEST_MYSQL):
            raise ConfigurationError(
                f"{self.url} is {'MariaDB' if is_mariadb else 'MySQL'} {told:.40}; "
                "goque needs MySQL 8.0.17 or MariaDB 10.6, or later"
            )
        return is_mariadb

    def pool(self) -> MysqlPool:
        """Return a few connections for an application's threads."""
        return MysqlPool(self.connect)

    def second_connection(self) -> SecondConnection:
        """Return a connection for a fetcher's second thread."""
        return OpenedConnection(self.connect, is_same_server)

    def wrap(self, conn: Any) -> CallerSession:
        """Wrap the caller's PyMySQL connection, or what SQLAlchemy or Django wrap around one."""
        connection = unwrap_connection(conn)
        if not isinstance(connection, pymysql.connections.Connection):
            raise not_of_driver(connection, "PyMySQL", f"{self.url} is a MySQL database")
        return CallerSession(connection, "the database of conn", self.clock)

    async def join(self, conn: Any, steps: Steps[ResultT], *, writes: bool) -> ResultT:
        """Run steps on the caller's aiomysql connection, or on what SQLAlchemy wraps around one."""
        connection = await unwrap_asyncio_connection(conn)
        if not is_of(connection, "aiomysql"):
            raise not_of_driver(connection, "aiomysql", f"{self.url} is a MySQL database")
        from goque.storage.mysql.asyncio_session import AsyncCallerSession  # noqa: PLC0415 - the caller has aiomysql, then

        session = await AsyncCallerSession.begin(connection, "the database of conn", self.clock)
        async with session.transaction() if writes else nullcontext():
            return await await_steps(session, steps)

    def watch(self, connections: Connections, types: Sequence[str]) -> Watcher:
        """Look from time to time, and whenever an enqueuer of this machine nudges: the server tells nobody."""
        del connections
        return MysqlWatcher(NudgeListener.open(self._address, types))

    def nudge(self, task_types: Collection[str]) -> None:
        """Wake up the fetchers of this machine."""
        nudge(self._address, task_types)

    def columns(self, session: Session, table: str) -> set[str]:
        """Return the names of a table's columns, none where there is no such table."""
        return {mysql_rows.read_text(row[0]).lower() for row in session.rows(COLUMNS, {"table": table})}

    def due_priorities(
        self, session: Session, task_type: str, priority: int | None = None
    ) -> Iterable[int | None]:
        """Walk down the levels, one statement each: none is asked for that is not needed."""
        for found, due in self._levels(session, self.sql.due_priorities, task_type, priority):
            if due <= session.now:
                yield found

    def next_due(self, session: Session, task_type: str) -> Iterable[datetime]:
        """Return when the next unclaimed task of each priority is due."""
        return [due for _, due in self._levels(session, self.sql.next_due, task_type)]

    def _levels(
        self, session: Session, statement: str, task_type: str, priority: int | None = None
    ) -> Iterator[tuple[int, datetime]]:
        rank, last = (BELOW_ALL_RANKS, LAST_RANK) if priority is None else (-priority - 1, -priority)
        while rank < last:
            rows = session.rows(statement, {"task_type": task_type, "rank": rank, "last_rank": last})
            if not rows:
                return
            rank, due = rows[0]
            yield -rank, mysql_rows.read_time(due)

    def due_levels(self, session: Session, asked: Mapping[str, Sequence[Any]]) -> list[DueLevel]:
        """Walk down the levels of all types side by side, one statement for each level of the type with the most."""
        clock = None if self.clock is None else self.time(self.clock())
        ranks = dict.fromkeys(asked, BELOW_ALL_RANKS)
        levels: list[DueLevel] = []
        while ranks:
            some = [ranks.popitem() for _ in range(min(len(ranks), AT_ONCE))]
            params: dict[str, Any] = {"clock": clock}
            for number, (task_type, rank) in enumerate(some):
                past = self.encode_list(asked[task_type])
                params |= {f"type_{number}": task_type, f"rank_{number}": rank, f"past_{number}": past}
            rows = session.rows(highest_levels(len(some)), params)
            levels += self.read_levels((row[0], -row[1], row[2], row[3]) for row in rows)
            ranks |= {self.read_text(row[0]): row[1] for row in rows if row[1] < row[4]}
        return levels

    def insert_one(self, task: Task) -> Steps[tuple[datetime, datetime] | None]:
        """Insert a task; a duplicate ends the statement, and no transaction."""
        if task.unique_key is not None and (
            yield ask.rows(KEY_IS_HELD, {"type": task.type, "unique_key": task.unique_key})
        ):
            return None
        try:
            if self._returns_inserted and self.clock is None and not (task.delay or task.next_attempt_at):
                told = yield ask.rows(INSERT_DUE_TASK, self.task_params(task, EPOCH))
                now = self.read_time(
                    told[-1][0]
                )  # Galera may try again by itself, and return a row for each try
            else:
                now = yield ask.NOW
                yield ask.run(self.sql.insert_task, self.task_params(task, now))
        except pymysql.IntegrityError as error:
            if error.args[0] == DUPLICATE:
                return None
            raise
        return now, due_at(task, now)

    def insert_batch(self, tasks: Sequence[Task]) -> Steps[set[str]]:
        """Insert all, and only if some were taken find out which."""
        now = yield ask.NOW
        rows = self.encode_tasks(tasks, now)
        ids = [task.id for task in tasks]
        insert = self._insert_statement(tasks)
        yield ask.run("SAVEPOINT goque_batch")
        try:
            yield ask.run_many(insert, rows)
        except pymysql.IntegrityError as error:
            if error.args[0] != DUPLICATE:
                raise
        else:
            return set(ids)
        yield ask.run("ROLLBACK TO SAVEPOINT goque_batch")
        before = yield ask.rows(PRESENT, {"ids": ids})
        # IGNORE leaves out what a constraint refuses too; ON DUPLICATE KEY UPDATE would lock the duplicates
        yield ask.run_many(insert.replace("INSERT INTO", "INSERT IGNORE INTO"), rows)
        after = {row[0] for row in (yield ask.rows(PRESENT, {"ids": ids}))}
        inserted = after - {row[0] for row in before}
        left_out = [task for task in tasks if task.id not in after]
        return inserted | (yield from self._insert_unless_taken(left_out, now))

    def _insert_unless_taken(self, tasks: Sequence[Task], now: datetime) -> Steps[set[str]]:
        """Insert each task alone whose place is not seen to be taken: it was left out for another reason."""
        if not tasks:
            return set()
        places = {
            "types": sorted({task.type for task in tasks}),
            "external_ids": [task.external_id for task in tasks],
        }
        taken = {tuple(map(self.read_text, row)) for row in (yield ask.rows(TAKEN, places))}
        inserted: set[str] = set()
        for task in tasks:
            if (task.type, task.external_id) in taken:
                continue
            try:
                yield ask.run(self.sql.insert_task, self.task_params(task, now))
                inserted.add(task.id)
            except pymysql.IntegrityError as error:
                if error.args[0] != DUPLICATE:
                    raise
        return inserted

    def is_duplicate(self, error: Exception) -> bool:
        """Return whether a unique index refused a statement."""
        return isinstance(error, pymysql.IntegrityError) and error.args[0] == DUPLICATE
