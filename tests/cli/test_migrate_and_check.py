"""`goque migrate` and `goque check`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

APP = """
import goque

registry = goque.Registry(database_url="sqlite:///own.db")

@registry.processor("send_email", workers=4, max_attempts=3, next_attempt_at=goque.retry.static(5))
async def send_email(task): ...

registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: goque.Task("send_email")))
"""


def test_migrate_creates_the_schema_once(goque: Any) -> None:
    assert "missing" in goque("migrate", "--status").stdout
    sql = goque("migrate", "--sql").stdout
    assert "goque_task" in sql
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(sql)
    first = goque("migrate").stdout
    assert "applied " in first
    assert goque("migrate").stdout.splitlines() == first.splitlines()[-1:]
    assert "current" in goque("migrate", "--status").stdout
    assert goque("migrate", "--sql").stdout == ""


def test_check_says_what_would_run(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    lines = goque("check", "shop:registry").stdout.splitlines()
    assert lines[0] == "app       shop:registry imports"
    assert "own.db" in lines[1]
    assert lines[3].startswith("type      send_email: handler=async workers=4 timeout=30 max_attempts=3")
    assert "static(period=5.0)" in lines[3]
    assert lines[4].startswith("job       nightly: next at ")


def test_a_flag_or_the_environment_wins_over_the_registry(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    assert "flag.db" in goque("check", "shop:registry", "--database-url", "sqlite:///flag.db").stdout
    assert "env.db" in goque("check", "shop:registry", GOQUE_DATABASE_URL="sqlite:///env.db").stdout


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("source", "app", "said"),
    [
        ("import nosuch_dependency", "shop:registry", "ModuleNotFoundError at shop.py:1"),
        ("raise SystemExit(3)", "shop:registry", "sys.exit at shop.py:1"),
        ("x = (", "shop:registry", "SyntaxError at shop.py:1"),
        ("registri = 1", "shop:registry", "did you mean registri?"),
        ("registry = {}", "shop:registry", "is a dict, not a goque.Registry"),
        ("", "shop", "module:attribute"),
        ("", "shop.py:registry", "try shop:registry"),
        ("import goque\ngoque.Registry().add_processor('t', print, retries=3)", "shop:registry", "'retries'"),
    ],
)
def test_an_app_that_does_not_load_is_one_line_and_exit_code_2(
    goque: Any, source: str, app: str, said: str
) -> None:
    Path(goque.directory, "shop.py").write_text(source)
    error = goque("check", app, code=2).stderr
    assert said in error
    assert len(error.splitlines()) == 1


def test_the_cause_of_a_failed_import_is_there_for_those_who_ask(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text("def boom():\n    raise KeyError('x')\nboom()")
    error = goque("check", "shop:registry", "--log-level", "debug", code=2).stderr
    assert "in boom" in error
    assert error.splitlines()[-1] == "goque: shop:registry does not import: KeyError at shop.py:2: 'x'"


def test_check_fails_on_a_foreign_schema_with_exit_code_3(goque: Any) -> None:
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute("CREATE TABLE goque_task (something TEXT)")
    Path(goque.directory, "shop.py").write_text("import goque\nregistry = goque.Registry()")
    error = goque("check", "shop:registry", code=3).stderr
    assert len(error.splitlines()) == 1
