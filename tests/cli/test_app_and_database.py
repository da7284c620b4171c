"""Where a command looks: the app that it knows, that app's database, and files that only some commands create."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

APP = """
import goque

print("imported")
registry = goque.Registry(database_url="sqlite:///own.db")
registry.add_processor("send_email", goque.noop_task_processor)
registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: goque.Task("send_email")))
"""
CREATED = "`goque migrate`, `enqueue` and `supervise` create it; to use another one, give "


@pytest.fixture
def shop(goque: Any) -> Any:
    Path(goque.directory, "shop.py").write_text(APP)
    return goque


def files(goque: Any) -> set[str]:
    return {path.name for path in goque.directory.glob("*.db")}


@pytest.mark.parametrize("by", ["--app", "GOQUE_APP", "goque.toml", "pyproject.toml"])
def test_a_command_looks_where_the_registry_of_the_app_looks(shop: Any, by: str) -> None:
    flags, env = [], {}
    if by == "--app":
        flags = ["--app", "shop:registry"]
    elif by == "GOQUE_APP":
        env = {"GOQUE_APP": "shop:registry"}
    else:
        table = "[tool.goque]\n" if by == "pyproject.toml" else ""
        Path(shop.directory, by).write_text(f"{table}app = 'shop:registry'")
    task_id = shop("enqueue", "send_email", *flags, **env).stdout.strip()
    assert files(shop) == {"own.db"}
    listed = shop("list", "--json", *flags, **env)
    assert task_id in listed.stdout
    assert len(listed.stdout.splitlines()) == 1, "what the app prints is not mixed with the output"
    assert '"new"' in shop("stats", "--json", *flags, **env).stdout


def test_a_flag_the_environment_and_a_file_win_over_the_registry_and_spare_the_import(shop: Any) -> None:
    Path(shop.directory, "shop.py").write_text("1 / 0")
    shop("migrate", "--app", "shop:registry", "--database-url", "sqlite:///flag.db")
    shop("enqueue", "t", "--bare", "--app", "shop:registry", GOQUE_DATABASE_URL="sqlite:///env.db")
    Path(shop.directory, "goque.toml").write_text("app = 'shop:registry'\ndatabase_url = 'sqlite:///file.db'")
    shop("enqueue", "t", "--bare")
    assert files(shop) == {"flag.db", "env.db", "file.db"}


def test_commands_that_take_an_app_take_it_from_the_configuration_too(shop: Any) -> None:
    Path(shop.directory, "goque.toml").write_text("app = 'shop:registry'")
    shop("supervise", "--drain")
    assert "app       shop:registry imports" in shop("check").stdout
    assert "nightly" in shop("schedules").stdout
    assert "nightly is paused" in shop("schedules", "--pause", "nightly").stdout
    assert len(shop("run-job", "nightly").stdout.splitlines()[-1]) == 36
    assert len(shop("run-job", "shop:registry", "nightly").stdout.splitlines()[-1]) == 36


def test_a_command_without_its_app_says_where_to_name_it(goque: Any) -> None:
    for command in (["supervise"], ["check"], ["schedules"], ["run-job", "nightly"]):
        error = goque(*command, code=2).stderr
        assert "name the app as module:attribute, such as app:registry: as APP, by --app" in error
    assert "NAME of a periodic job" in goque("run-job", code=2).stderr


def test_an_argument_wins_over_the_configuration_and_not_over_a_flag(shop: Any) -> None:
    Path(shop.directory, "goque.toml").write_text("app = 'nowhere:registry'")
    shop("supervise", "shop:registry", "--drain")
    error = shop("check", "shop:registry", "--app", "other:registry", code=2).stderr
    assert "APP and --app contradict each other" in error


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (shop.py, line 1)"),
        ("import os\nos._exit(3)", "ended by exit code 3"),
        ("import ctypes\nctypes.string_at(0)", "ended by signal 11 (SIGSEGV)"),
        (
            "import os\nos._exit = print\nos.fork() or __import__('time').sleep(30)\n1 / 0",
            "ZeroDivisionError",
        ),
    ],
)
def test_an_app_that_does_not_load_is_one_line_that_says_how_to_look_without_it(
    goque: Any, source: str, said: str
) -> None:
    Path(goque.directory, "shop.py").write_text(source)
    error = goque("list", "--app", "shop:registry", code=2).stderr
    assert said in error
    assert error.endswith("the app names the database: fix the app, or give --database-url\n")
    assert len(error.splitlines()) == 1
    assert files(goque) == set()


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "show x",
        "cancel x",
        "reset x",
        "reset --status failed",
        "stats",
        "top --once",
        "pause t",
        "limits",
        "limit t --limit 5",
        "resume t",
        "dashboard --port 0",
        "check shop:registry",
        "schedules shop:registry",
        "run-job shop:registry nightly",
    ],
)
def test_a_command_that_only_looks_creates_no_file_and_names_the_missing_one(shop: Any, command: str) -> None:
    error = shop(*command.split(), code=3, GOQUE_DATABASE_URL="sqlite:///here.db").stderr.splitlines()[-1]
    assert error.startswith(f"goque: there is no database {shop.directory}/here.db; {CREATED}")
    assert files(shop) == set()


@pytest.mark.parametrize("command", ["enqueue t", "migrate", "supervise shop:registry --drain"])
def test_a_command_that_fills_a_database_creates_its_file(shop: Any, command: str) -> None:
    shop(*command.split(), GOQUE_DATABASE_URL="sqlite:///here.db")
    assert files(shop) == {"here.db"}


def test_config_shows_the_database_of_the_app(shop: Any) -> None:
    def shown(*flags: str) -> str:
        lines = shop("config", "list", *flags).stdout.splitlines()
        return next(" ".join(line.split()) for line in lines if line.startswith("database_url"))

    own = "database_url sqlite:///own.db the registry of shop:registry"
    assert shown("--app", "shop:registry") == own
    Path(shop.directory, "goque.toml").write_text("app = 'shop:registry'")
    assert shown() == own
    Path(shop.directory, "shop.py").write_text("1 / 0")
    broken = shop("config", "list")
    assert "the registry's own, or sqlite:///goque.db" in broken.stdout
    assert "ZeroDivisionError" in broken.stderr
