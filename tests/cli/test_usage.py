"""What `goque` says about itself, and what it says to input it cannot use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from goque.cli.command import COMMON
from goque.cli.group import COMMANDS, load

OTHER_VARIABLES = {("limit", "--limit"): "GOQUE_TYPE_LIMIT"}
"""Options that do something else than those of the same name of other commands."""


def test_help_lists_every_command_and_exit_code(goque: Any) -> None:
    text = goque("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text
    assert "Exit codes:" in text
    assert "GOQUE_NODE_TIMEOUT" in text
    assert goque("-h").stdout == text


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"demo"}))
def test_each_command_explains_itself_with_an_example(goque: Any, command: str) -> None:
    text = goque(command, "-h").stdout
    assert "Example" in text
    assert f"goque {command}" in text
    assert "--log-level" in text


def test_version(goque: Any) -> None:
    assert goque("--version").stdout.startswith("goque 0.")


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = "{'zmq', 'rich', 'sqlite_utils', 'sqlite3', 'croniter', 'multiprocess', 'asyncio'}"
    code = f"import sys, goque.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command"),
        (["list", "--nosuch"], "--nosuch"),
        (["list", "--limit", "0"], "0"),
        (
            ["list", "--status", "lost"],
            "'lost' is not one of blocked, waiting (new, error), claimed (pending), ",
        ),
        (["list", "--status", ""], "'--status': the value is empty"),
        (["list", "--since", "yesterday"], "'yesterday' is neither an age, such as 90s"),
        (["list", "--since", "2026-11-23"], "nor a time with a time zone"),
        (["list", "--payload", "\udcff"], "is not UTF-8 text without a NUL"),
        (["list", "--before", "42"], "'42' is no task id"),
        (["cancel", "--status", "done"], "'done' is not one of blocked, waiting (new, error), claimed"),
        (["reset", "--status", "running"], "'running' is not one of waiting (error), done, canceled"),
        (["delete", "--status", "waiting"], "'waiting' is not one of done, canceled, failed (attempts_left)"),
        (["delete"], "give IDs, or --status"),
        (["delete", "x", "--status", "done"], "contradict each other"),
        (["delete", "--type", "t"], "give IDs, or --status"),
        (["list", "--limit", "many"], "not a valid whole number"),
        (["list", "--database-url", "oracle://x"], "not a storage URL"),
        (["list", "--database-url", ""], "'--database-url': the value is empty"),
        (["list", "--type", ""], "'--type': the value is empty"),
        (["limit"], "Missing argument 'TYPE'"),
        (["limit", "t"], "give --limit, --per-key or --rate, or --clear"),
        (["limit", "t", "--clear", "--limit", "5"], "--clear and the other options contradict each other"),
        (["limit", "t", "--clear", "--rate-per-key"], "--clear and the other options contradict each other"),
        (["limit", "t", "--limit", "0"], "to stop a type, pause it"),
        (["limit", "t", "--limit", "-1"], "from 1 up, not -1"),
        (["limit", "t", "--per-key", "many"], "must be a whole number from 1 up, or none, not 'many'"),
        (["limit", "t", "--per-key", "1.5"], "must be a whole number from 1 up, or none, not '1.5'"),
        (["limit", "t", "--limit", "9" * 5000], "must be a whole number from 1 up, or none"),
        (
            ["limit", "t", "--rate", "100"],
            "must be a count and a time, such as 100/60 or 5/1m, or none, not '100'",
        ),
        (["limit", "t", "--rate", "100/soon"], "such as 100/60 or 5/1m, or none, not '100/soon'"),
        (["limit", "t", "--rate", "0/60"], "the count of a Rate must be a whole number from 1 up"),
        (["limit", "t", "--rate", "5/0"], "per of a Rate must be more than 0"),
        (["limit", "t", "--rate", ""], "'--rate': the value is empty"),
        (["limit", "t", "--rate", "none", "--rate-per-key"], "--rate none removes the rate"),
        (["limit", "t", "--rate", "5/1", "--burst", "0"], "0"),
        (["limits", "--keys", "-1"], "0 to 100000"),
        (["enqueue", "t", "--limit-key", ""], "'--limit-key': the value is empty"),
        (["enqueue", "t", "--limit-key", "x" * 256], "limit_key must have 1 to 255 characters"),
        (["check", "app"], "try app:registry"),
        (["check", "mail/app.py"], "try mail.app:registry"),
        (["check", "app.registry"], "try app:registry"),
        (["reset", "some-id", "--status", "error"], "contradict"),
        (["list", "--log-level", "loud"], "debug"),
        (["supervise"], "APP"),
        (["supervise", "a:b", "--roles", "boss"], "boss"),
        (["supervise", "a:b", "--types", "x", "--exclude-types", "y"], "--exclude-types"),
        (["supervise", "a:b", "--types", ","], "at least one"),
        (["supervise", "a:b", "--http", "9100"], "HOST:PORT"),
        (["supervise", "a:b", "--http", "::1:9100"], "HOST:PORT"),
        (["supervise", "a:b", "--http", "localhost:65536"], "HOST:PORT"),
        (["supervise", "a:b", "--node-timeout", "0"], "more than 0"),
        (["supervise", "a:b", "--node-timeout", "inf"], "seconds"),
        (["supervise", "a:b", "--shutdown-timeout", "-1"], "seconds"),
        (["supervise", "a:b", "--start-method", "fork"], "forkserver"),
        (["supervise", "a:b", "--on-lost-lease", "pray"], "finish"),
        (["supervise", "a:b", "--heal-unpublished", "0"], "more than 0"),
        (["supervise", "a:b", "--heal-unpublished", "0.5"], "1 or more seconds"),
        (["supervise", "a:b", "--heal-unpublished", "often"], "seconds"),
        (["supervise", "a:b", "--log-format", "xml"], "json"),
        (["check", "nosuch_module:registry"], "no module nosuch_module"),
        (["migrate", "--sql", "--status"], "one of them"),
        (["enqueue"], "TYPE"),
        (["enqueue", "t", "--at", "tomorrow"], "2026-11-23T21:00:00Z"),
        (["enqueue", "t", "--at", "2026-11-23T21:00:00"], "zone"),
        (["enqueue", "t", "--at", "2026-11-23T21:00:00Z", "--delay", "1"], "one of them"),
        (["enqueue", "t", "--priority", "101"], "101"),
        (["enqueue", "t", "{}", "--jsonl", "-"], "lines of the file"),
        (["enqueue", "--jsonl", "missing.jsonl"], "missing.jsonl"),
        (["enqueue", ""], "1 to 255 characters"),
        (["enqueue", "a\nb"], "control characters"),
        (["reset"], "--status"),
        (["reset", "--type", "t"], "--status"),
        (["reset", "--status", "processing"], "attempts_left"),
        (["cancel"], "ID"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(
    goque: Any, arguments: list[str], said: str
) -> None:
    assert said in goque(*arguments, code=2).stderr
    assert not list(goque.directory.iterdir())


def test_options_come_from_the_environment_too(goque: Any) -> None:
    assert "more than 0" in goque("supervise", "a:b", code=2, GOQUE_NODE_TIMEOUT="0").stderr
    assert "HOST:PORT" in goque("supervise", "a:b", code=2, GOQUE_HTTP="x").stderr
    goque("enqueue", "from_environment", GOQUE_EXTERNAL_ID="key", GOQUE_PRIORITY="7")
    assert [(row["external_id"], row["priority"]) for row in goque.json_lines("list", "--json")] == [
        ("key", 7)
    ]


def test_a_wrong_variable_is_named(goque: Any) -> None:
    assert "'GOQUE_LIMIT' (the variable of --limit)" in goque("list", code=2, GOQUE_LIMIT="many").stderr
    assert "GOQUE_LIMIT" not in goque("list", "--limit", "many", code=2, GOQUE_LIMIT="10").stderr


def test_an_empty_list_says_where_it_looked(goque: Any) -> None:
    goque("migrate")
    for command, said in (
        ("list", "no tasks in"),
        ("list --type nosuch", "no such tasks in"),
        ("stats", "no tasks in"),
    ):
        assert goque(*command.split()).stderr == f"{said} {goque.url}\n"


def test_an_empty_variable_is_as_good_as_none(goque: Any) -> None:
    goque("enqueue", "t", GOQUE_DATABASE_URL="", GOQUE_DELAY="", GOQUE_LOG_LEVEL="")
    assert len(goque.json_lines("list", "--json")) == 1


def test_errors_are_one_line_and_debug_adds_the_traceback(goque: Any) -> None:
    goque("migrate")
    plain = goque("show", "nosuch", code=1).stderr
    assert plain.splitlines() == [
        "goque: no task has the id or external id 'nosuch'; `goque list` shows the ids of tasks"
    ]
    for debugged in (
        goque("show", "nosuch", "--log-level", "debug", code=1),
        goque("--log-level", "debug", "show", "nosuch", code=1),
        goque("show", "nosuch", code=1, GOQUE_LOG_LEVEL="debug"),
    ):
        assert "Traceback (most recent call last)" in debugged.stderr
        assert debugged.stderr.endswith(plain)


def test_a_flag_in_either_place_wins_over_the_environment(goque: Any) -> None:
    goque("migrate")
    for arguments in (["--log-level", "debug", "show", "x"], ["show", "x", "--log-level", "debug"]):
        assert "Traceback" in goque(*arguments, code=1, GOQUE_LOG_LEVEL="info").stderr


def test_a_database_that_cannot_be_opened_is_exit_code_3(goque: Any) -> None:
    (goque.directory / "notes.db").write_bytes(b"this is no database, but long enough to look at " * 100)
    error = goque("list", "--database-url", "sqlite:///notes.db", code=3).stderr
    assert error.startswith("goque: ")
    assert len(error.splitlines()) == 1
    error = goque("list", "--database-url", "sqlite:///no/such/directory/goque.db", code=3).stderr
    assert len(error.splitlines()) == 1
    (goque.directory / "folder.db").mkdir()
    error = goque("list", "--database-url", "sqlite:///folder.db", code=3).stderr
    assert error == f"goque: {goque.directory}/folder.db is a directory; name a file\n"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_an_unreachable_server_is_exit_code_3_and_hides_the_password(goque: Any, scheme: str) -> None:
    error = goque("list", "--database-url", f"{scheme}://me:hunter2@127.0.0.1:9/shop", code=3).stderr
    assert "cannot be reached" in error
    assert "hunter2" not in error
    assert len(error.splitlines()) == 1


def test_a_broken_configuration_file_is_named(goque: Any) -> None:
    Path(goque.directory, "goque.toml").write_text("database_url = ")
    error = goque("stats", code=2).stderr
    assert error.startswith("goque: goque.toml is not TOML")
    assert len(error.splitlines()) == 1


def test_the_configuration_file_says_where_the_tasks_are(goque: Any) -> None:
    Path(goque.directory, "goque.toml").write_text('database_url = "sqlite:///elsewhere.db"')
    goque("enqueue", "t")
    assert Path(goque.directory, "elsewhere.db").exists()
    assert not Path(goque.directory, "goque.db").exists()


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_help_fits_a_terminal_of_80_columns_and_keeps_its_examples_on_lines_of_their_own(
    goque: Any, name: str
) -> None:
    text = goque(*name.split(), "--help", COLUMNS="80").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\\b" not in text
    assert "x>=" not in text
    assert not name or "`goque config --help`" in " ".join(text.split())
    if "Examples:" in text:
        assert any(line.strip().startswith(f"goque {name} ") for line in text.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_variable_that_the_page_on_the_command_line_names(goque: Any, name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    _, *sections = page.split("\n## ")
    (section,) = [section for section in sections if name in section.splitlines()[0].split(" and ")]
    for option in load(name).params:
        if isinstance(option, click.Option):
            flag = option.opts[0]
            assert option.envvar == OTHER_VARIABLES.get(
                (name, flag), f"GOQUE_{flag[2:].replace('-', '_').upper()}"
            )
            where = sections[0] if option.name in COMMON else section
            if name == "check" and "those of `supervise`" in section:
                where += next(other for other in sections if other.startswith("supervise\n"))
            assert f"`{flag}" in where
            assert f"`{option.envvar}`" in where


def test_the_roles_are_shown_as_they_are_given(goque: Any) -> None:
    assert "processors,healer,cleaner,scheduler,monitor]" in goque("supervise", "--help").stdout


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://root:Top%S3cret@127.0.0.1:1/db",
        "postgresql://root:Top@S3cret@127.0.0.1:1/db",
        "mysql://root:Top/S3cret@127.0.0.1:1/db",
        "root:Top@S3cret@127.0.0.1:1/db",
        "mysql:root:Top S3cret@127.0.0.1:1/db",
    ],
)
def test_a_malformed_url_does_not_show_its_password_even_to_those_who_debug(goque: Any, url: str) -> None:
    done = goque("stats", "--log-level", "debug", "--database-url", url, code=2)
    assert "not a storage URL" in done.stderr
    assert "Top" not in done.stdout + done.stderr
    assert "S3cret" not in done.stdout + done.stderr


def test_a_url_with_a_value_that_the_driver_refuses_is_exit_code_2(goque: Any) -> None:
    error = goque("stats", "--database-url", "postgresql://u@127.0.0.1:1/db?sslmode=bogus", code=2).stderr
    assert error.endswith(" is not a storage URL: sslmode cannot be 'bogus'\n")
