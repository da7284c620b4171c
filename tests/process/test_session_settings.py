"""Settings of a DBA for all sessions: goque's own do not depend on them, or one line names the setting."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pymysql
import pytest
import services
from databases import ON_SERVER, Database, MysqlDatabase, on_every_server
from private_servers import PrivateServer
from tree import StartTree, eventually, python_command, supervise_command, write_app

from goque.errors import DatabaseUnavailableError
from goque.storage import open_storage
from goque.storage.mysql.url import connection_options

APP = """
options = dict(workers=2, fetch_tick=0.2, next_attempt_at=retry.static(0))

@registry.processor("work", max_attempts=2, store_result=True, **options)
def work(task: Task):
    note("start", task.external_id, os.getpid())
    if task.payload == "slow":
        time.sleep(2.5)
    if task.payload == "fail":
        raise ValueError("it fails")
    return "é'\\\\"
"""
OF_POSTGRESQL = {
    "idle_session_timeout": "1s",
    "idle_in_transaction_session_timeout": "1s",
    "statement_timeout": "1s",
    "lock_timeout": "1s",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "TimeZone": "Australia/Lord_Howe",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "client_min_messages": "error",
    "enable_indexscan": "off",
    "client_encoding": "LATIN1",
    "transform_null_equals": "on",
    "extra_float_digits": "-15",
    "synchronous_commit": "off",
}
OF_MARIADB = {
    "wait_timeout": "1",
    "interactive_timeout": "1",
    "idle_transaction_timeout": "1",
    "idle_write_transaction_timeout": "1",
    "idle_readonly_transaction_timeout": "1",
    "max_statement_time": "1",
    "innodb_lock_wait_timeout": "1",
    "sql_safe_updates": "1",
    "sql_select_limit": "1",
    "sql_big_selects": "0",
    "completion_type": "'RELEASE'",
    "tx_isolation": "'SERIALIZABLE'",
    "tx_read_only": "1",
    "autocommit": "0",
    "time_zone": "'+10:30'",
    "sql_mode": "'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,TRADITIONAL'",
    "default_storage_engine": "'MyISAM'",
    "alter_algorithm": "'INSTANT'",
    "group_concat_max_len": "4",
    "max_sort_length": "8",
    "lock_wait_timeout": "1",
    "character_set_client": "latin1",
    "character_set_results": "latin1",
}


@pytest.fixture
def backend() -> str:
    return "mysql"


@pytest.fixture
def server(backend: str) -> Iterator[PrivateServer]:
    made = PrivateServer(backend)
    yield made
    made.close()


@pytest.fixture
def database(server: PrivateServer) -> Iterator[Database]:
    made = ON_SERVER[server.name](server.url, migrate=False)
    yield made
    made.queue.close()


def settle_sessions(database: Database) -> None:
    """Give new sessions of the server other defaults than its own."""
    if isinstance(database, MysqlDatabase):
        with pymysql.connect(**connection_options(database.server)) as root, root.cursor() as cursor:
            for name, value in OF_MARIADB.items():
                cursor.execute(f"SET GLOBAL {name} = {value}")
        return
    with psycopg.connect(database.server, autocommit=True) as root:  # type: ignore[attr-defined]
        version = root.info.server_version
        for name, value in OF_POSTGRESQL.items():
            if name != "idle_session_timeout" or version >= 140000:
                root.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        root.execute("SELECT pg_reload_conf()")
    eventually(lambda: database.execute("SHOW default_transaction_isolation") == [("serializable",)])


@pytest.mark.fault(50)
@on_every_server
def test_a_tree_works_as_ever_whatever_a_servers_sessions_begin_with(
    start_tree: StartTree, database: Database
) -> None:
    settle_sessions(database)
    tree = start_tree(app=APP, migrate_first=True)
    eventually(lambda: "up as pid" in tree.log, within=60)
    database.enqueue("work", *(f"t{n}" for n in range(30)))
    database.enqueue("work", "slow", payload="slow")
    database.enqueue("work", "failing", payload="fail")
    database.enqueue("work", "later", payload="x", delay=timedelta(seconds=4))
    (canceled,) = database.enqueue("work", "canceled", delay=timedelta(hours=1))
    assert database.queue.cancel_task(canceled.id)
    eventually(database.is_settled, within=40)
    assert database.counts() == {"done": 32, "attempts_left": 1, "canceled": 1}
    assert database.task("t7").result == "é'\\"
    assert len(database.attempts(database.task("failing"))) == 2
    database.queue.reset_attempts(database.task("failing").id)
    eventually(lambda: len(database.attempts(database.task("failing"))) == 4 and database.is_settled())
    told = [line for line in tree.log.splitlines() if " WARN " in line or " ERROR " in line]
    assert [line for line in told if "work failed" not in line and "attempt" not in line] == []
    assert "cannot listen" not in tree.log
    assert tree.stop() == 0


def lines_of_commands(commands: str, database: Database, directory: Path, run_dir: Path) -> Iterator[str]:
    """Run commands that must fail for want of a usable database; give the one line of each."""
    write_app(directory, APP)
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),
        "GOQUE_DATABASE_URL": database.url,
        "GOQUE_TEST_JOURNAL": str(directory),
    }
    goque = ("-m", "goque.cli")
    known = {
        "migrate": python_command(*goque, "migrate"),
        "check": python_command(*goque, "check", "app:registry"),
        "enqueue": python_command(*goque, "enqueue", "work", "1"),
        "supervise": supervise_command(run_dir / "shared"),
    }
    for command in commands.split():
        done = subprocess.run(
            known[command],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3, (command, done.stderr)
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("app ")]
        yield line


@pytest.mark.fault(50)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_default_that_forbids_writes_is_named_and_goque_does_not_override_it(
    server: PrivateServer, database: Database, tmp_path: Path, run_dir: Path
) -> None:
    named = "takes no writes (a standby, or default_transaction_read_only)"
    wish = "turn that setting off for this user and database"
    with psycopg.connect(server.url, autocommit=True) as root:
        root.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
    (line,) = lines_of_commands("migrate", database, tmp_path, run_dir)
    assert named in line
    assert wish in line
    with psycopg.connect(server.url, autocommit=True, options="-cdefault_transaction_read_only=off") as root:
        root.execute("ALTER ROLE postgres RESET default_transaction_read_only")
        with contextlib.closing(open_storage(database.url)) as storage:
            storage.migrate()
        root.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
    for line in lines_of_commands("check enqueue supervise", database, tmp_path, run_dir):
        assert named in line
        assert wish in line


@pytest.mark.fault(50)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_search_path_without_a_schema_is_named_by_migrate(
    server: PrivateServer, database: Database, tmp_path: Path, run_dir: Path
) -> None:
    with psycopg.connect(server.url, autocommit=True) as root:
        root.execute("ALTER ROLE postgres SET search_path = nowhere")
    database.url = server.url
    (line,) = lines_of_commands("migrate", database, tmp_path, run_dir)
    assert "search_path names none that exists" in line


@pytest.mark.fault(50)
def test_an_option_that_forbids_a_statement_is_named_and_is_not_taken_for_a_replica(
    database: Database, tmp_path: Path, run_dir: Path
) -> None:
    database.on_server("SET GLOBAL enforce_storage_engine = MyISAM")  # type: ignore[attr-defined]
    (line,) = lines_of_commands("migrate", database, tmp_path, run_dir)
    assert "runs with an enforce_storage_engine other than InnoDB, which forbids" in line
    assert "primary" not in line
    database.on_server("SET GLOBAL enforce_storage_engine = NULL")  # type: ignore[attr-defined]
    open_storage(database.url).migrate()


@pytest.mark.fault(50)
def test_a_server_that_logs_statements_is_named_by_every_command_and_gets_no_schema(
    server: PrivateServer, database: Database, tmp_path: Path, run_dir: Path
) -> None:
    command = [str(part) for part in server.process.args]  # type: ignore[union-attr]
    server.stop()
    server.process = services._run(
        [*command, f"--log-bin={server.data}/binlog", "--binlog-format=STATEMENT", "--server-id=1"],
        server.data,
        {},
    )
    server._wait_until_it_answers()
    for line in lines_of_commands("migrate check supervise", database, tmp_path, run_dir):
        assert "set binlog_format to ROW or MIXED on the server" in line
    assert database.execute("SHOW TABLES") == []
    with pytest.raises(DatabaseUnavailableError, match="binlog_format=STATEMENT"):
        open_storage(database.url).migrate()
    database.on_server("SET GLOBAL binlog_format = 'ROW'")  # type: ignore[attr-defined]
    open_storage(database.url).migrate()
