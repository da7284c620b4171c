"""`goque migrate` and `goque check`."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

APP = """
import goque

registry = goque.Registry(database_url="sqlite:///own.db")

@registry.processor("send_email", workers=4, max_attempts=3, next_attempt_at=goque.retry.static(5))
async def send_email(task): ...

registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: goque.Task("send_email")))
"""


def test_migrate_creates_the_schema_once(goque: Any) -> None:
    sql = goque("migrate", "--sql").stdout
    assert "goque_task" in sql
    assert not (goque.directory / "goque.db").exists()
    with closing(sqlite3.connect(goque.directory / "scripted.db")) as connection:
        connection.executescript(sql)
    scripted = "sqlite:///scripted.db"
    assert "applied " not in goque("migrate", "--database-url", scripted).stdout
    assert goque("stats", "--json", "--database-url", scripted).stdout == ""
    status = goque("migrate", "--status").stdout
    assert "missing" in status
    assert "to be applied: " in status
    assert not (goque.directory / "goque.db").exists()
    first = goque("migrate").stdout
    assert "applied " in first
    assert goque("migrate").stdout.splitlines() == first.splitlines()[-1:]
    assert "current" in goque("migrate", "--status").stdout
    assert goque("migrate", "--sql").stdout == ""


def test_check_says_what_would_run(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    goque("migrate", "--app", "shop:registry")
    lines = goque("check", "shop:registry").stdout.splitlines()
    assert lines[0] == "app       shop:registry imports"
    assert "own.db" in lines[1]
    assert lines[3].startswith("type      send_email: handler=async workers=4 timeout=30 max_attempts=3")
    assert "static(period=5.0)" in lines[3]
    assert lines[4].startswith("job       nightly: next at ")


def test_check_names_the_types_with_tasks_that_nobody_has_ever_run(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    for task_type in ("send_email", "send_mail", "send_mail", "send_letter"):
        goque("enqueue", task_type, "--database-url", "sqlite:///own.db")
    assert [
        line for line in goque("check", "shop:registry").stdout.splitlines() if line.startswith("unknown")
    ] == [
        "unknown   send_letter: 1 task waits, and no supervisor has run this type yet",
        "unknown   send_mail: 2 tasks wait, and no supervisor has run this type yet",
    ]


def test_a_flag_or_the_environment_wins_over_the_registry(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    for name in ("flag", "env"):
        goque("migrate", "--database-url", f"sqlite:///{name}.db")
    assert "flag.db" in goque("check", "shop:registry", "--database-url", "sqlite:///flag.db").stdout
    assert "env.db" in goque("check", "shop:registry", GOQUE_DATABASE_URL="sqlite:///env.db").stdout


REFUSED = [
    ("import nosuch_dependency", "shop:registry", "ModuleNotFoundError: No module named 'nosuch_dependency'"),
    ("raise SystemExit(3)", "shop:registry", "does not import: sys.exit(3) (shop.py, line 1)"),
    ("x = (", "shop:registry", "(shop.py, line 1)"),
    ("import os\nos.environ['NO_SUCH_KEY']", "shop:registry", "KeyError: 'NO_SUCH_KEY' (shop.py, line 2)"),
    ("import os\nos._exit(0)", "shop:registry", "ended by exit code 0"),
    ("import os\nos._exit(7)", "shop:registry", "ended by exit code 7"),
    ("import ctypes\nctypes.string_at(0)", "shop:registry", "ended by signal 11 (SIGSEGV)"),
    ("raise KeyboardInterrupt", "shop:registry", "KeyboardInterrupt"),
    ("registri = 1", "shop:registry", "did you mean registri?"),
    ("registry = {}", "shop:registry", "is a dict, not a goque.Registry"),
    ("import goque\nregistry = goque.Registry()", "shop:registry", "the registry has no processors"),
    ("", "shop", "module:attribute"),
    ("", "shop.py:registry", "try shop:registry"),
    ("import goque\ngoque.Registry().add_processor('t', print, retries=3)", "shop:registry", "'retries'"),
]


@pytest.mark.fault(12)
@pytest.mark.parametrize(("source", "app", "said"), REFUSED)
def test_an_app_that_does_not_load_is_the_same_line_and_exit_code_2_for_check_and_supervise(
    goque: Any, source: str, app: str, said: str
) -> None:
    Path(goque.directory, "shop.py").write_text(source)
    error = goque("check", app, code=2).stderr
    assert said in error
    assert len(error.splitlines()) == 1
    assert goque("supervise", app, code=2).stderr == error


def test_an_app_that_leaves_threads_and_signals_behind_is_checked_all_the_same(goque: Any) -> None:
    strange = """
import signal, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.close()
"""
    Path(goque.directory, "shop.py").write_text(APP + strange)
    goque("migrate", "--app", "shop:registry")
    checked = goque("check", "shop:registry")
    assert "schema    is up to date" in checked.stdout
    assert "starts threads at import" in checked.stderr


def test_check_says_what_a_tree_of_these_options_would_run(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    goque("migrate", "--app", "shop:registry")
    healing = goque("check", "shop:registry", "--roles", "healer,cleaner").stdout.splitlines()
    assert [line.split()[0] for line in healing] == ["app", "database", "schema"]
    nothing = goque("check", "shop:registry", GOQUE_EXCLUDE_TYPES="send_email", code=2).stderr
    assert nothing.startswith("goque: these types and pools select no type of the app; ")
    for command in ("check", "supervise"):
        error = goque(command, "shop:registry", "--types", "nosuch", code=2).stderr
        assert error == "goque: the app has no processor for type 'nosuch'; it has send_email\n"


def test_an_empty_registry_will_do_where_no_processors_are_asked_for(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text("import goque\nregistry = goque.Registry()")
    goque("migrate")
    assert "is up to date" in goque("check", "shop:registry", "--roles", "healer").stdout
    goque("supervise", "shop:registry", "--roles", "healer", "--drain")


@pytest.mark.parametrize("command", ["check", "supervise"])
def test_the_cause_of_a_failed_import_is_there_for_those_who_ask(goque: Any, command: str) -> None:
    Path(goque.directory, "shop.py").write_text("def boom():\n    raise KeyError('x')\nboom()")
    error = goque(command, "shop:registry", "--log-level", "debug", code=2).stderr
    assert "in boom" in error
    assert (
        error.splitlines()[-1]
        == "goque: app 'shop:registry' does not import: KeyError: 'x' (shop.py, line 2)"
    )


def test_check_finds_a_database_that_takes_no_writes_as_supervise_does(goque: Any) -> None:
    server = os.environ.get("GOQUE_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
    schema = f"goque_test_{uuid.uuid4().hex}"
    Path(goque.directory, "shop.py").write_text(APP)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            url = f"{server}?options=-csearch_path%3D{schema}"
            goque("migrate", "--database-url", url)
            assert "is up to date" in goque("check", "shop:registry", "--database-url", url).stdout
            assert connection.execute(f"SELECT * FROM {schema}.goque_node").fetchall() == []
            url += "%20-cdefault_transaction_read_only%3Don"
            error = goque("check", "shop:registry", "--database-url", url, code=3).stderr
            assert "takes no writes" in error
            assert len(error.splitlines()) == 1
            tree = goque("supervise", "shop:registry", "--drain", "--database-url", url, code=3).stderr
            assert error.partition("takes no writes")[2].strip() in tree
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


def test_check_fails_on_a_foreign_schema_with_exit_code_3(goque: Any) -> None:
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute("CREATE TABLE goque_task (something TEXT)")
    Path(goque.directory, "shop.py").write_text(APP)
    error = goque("check", "shop:registry", GOQUE_DATABASE_URL=goque.url, code=3).stderr
    assert len(error.splitlines()) == 1
    (said,) = goque("migrate", "--status").stdout.splitlines()
    assert said.endswith(": foreign, a table goque_task that is not goque's; name another database")


def test_migrate_for_go_makes_what_goose_would_make(goque: Any) -> None:
    for _ in range(2):
        assert "its migration 20251029020834 is recorded as applied" in goque("migrate", "--for-go").stdout
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection:
        versions = connection.execute("SELECT version_id FROM goose_db_version ORDER BY id").fetchall()
    assert versions == [(0,), (20251029020834,)]
    assert "goose_db_version" in goque("migrate", "--for-go", "--sql").stdout
    assert "without it" in goque("migrate", "--for-go", "--status", code=2).stderr
