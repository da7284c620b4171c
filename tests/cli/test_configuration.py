"""Options from files, and `goque config`, which says what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from goque.cli.group import COMMANDS, load
from goque.cli.parameters.config_options import key_of
from goque.config import OPTIONS


def write(goque: Any, text: str, name: str = "goque.toml") -> None:
    Path(goque.directory, name).write_text(text)


def said(goque: Any, *args: str, **env: str) -> dict[str, tuple[str, str]]:
    """What `goque config` prints, by option: value and source."""
    (header, *lines) = goque("config", *args, **env).stdout.split("\n\n", 1)[1].splitlines()
    value_at, from_at = header.index("VALUE"), header.index("FROM")
    return {line.split()[0]: (line[value_at:from_at].strip(), line[from_at:]) for line in lines}


def test_the_options_outside_of_tables_are_those_of_supervise() -> None:
    options = {key_of(option) for option in load("supervise").params if isinstance(option, click.Option)}
    assert options == set(OPTIONS)


def test_flag_environment_file_and_default_give_way_in_this_order(goque: Any) -> None:
    assert said(goque)["node_timeout"] == ("30", "default")
    write(goque, "[tool.goque]\nnode_timeout = 5\nhttp = '127.0.0.1:1'\n", "pyproject.toml")
    assert said(goque)["node_timeout"] == ("5", "[tool.goque] in pyproject.toml")
    write(goque, "node-timeout = 6")
    assert said(goque)["node_timeout"] == ("6", "goque.toml")
    assert said(goque)["http"] == ("127.0.0.1:1", "[tool.goque] in pyproject.toml")
    assert said(goque, GOQUE_NODE_TIMEOUT="7")["node_timeout"] == ("7", "GOQUE_NODE_TIMEOUT")
    write(goque, "[list]\nlimit = 1")
    with goque.queue as queue:
        for _ in range(3):
            queue.enqueue("mail")
    assert len(goque.json_lines("list", "--json")) == 1
    assert len(goque.json_lines("list", "--json", "--limit", "2")) == 2


def test_a_commands_own_table_wins_and_others_share_what_stands_outside(goque: Any) -> None:
    write(goque, "log_level = 'error'\ntypes = ['mail']\n[check]\ntypes = ['sms']\n[top]\ninterval = 0.5")
    assert said(goque, "supervise")["types"] == ("mail", "goque.toml")
    assert said(goque, "check")["types"] == ("sms", "[check] in goque.toml")
    assert said(goque, "top")["interval"] == ("0.5", "[top] in goque.toml")
    everything = said(goque)
    assert everything["check.types"] == ("sms", "[check] in goque.toml")
    assert everything["top.interval"] == ("0.5", "[top] in goque.toml")
    assert "list.log_level" not in everything


def test_a_tree_goes_by_the_file(goque: Any) -> None:
    (goque.directory / "app.py").write_text(
        "import goque\nregistry = goque.Registry()\nregistry.add_processor('mail', goque.noop_task_processor)\n"
    )
    write(goque, "drain = true\nlog_format = 'json'\nroles = ['processors']")
    assert '"role":"supervisor"' in goque("supervise", "app:registry").stderr.replace(" ", "")


def test_secrets_are_hidden(goque: Any) -> None:
    write(goque, "database_url = 'postgresql://me:hunter2@db/shop'")
    shown = goque("config").stdout + goque("config", "--json").stdout + goque("config", "list").stdout
    assert "postgresql://me:***@db/shop" in shown
    assert "hunter2" not in shown


def test_json_has_a_line_for_each_option(goque: Any) -> None:
    write(goque, "drain = true")
    lines = goque.json_lines("config", "--json")
    assert {"command": "supervise", "option": "drain", "value": "true", "source": "goque.toml"} in lines
    assert {line["option"] for line in lines} == set(OPTIONS)


@pytest.mark.parametrize(
    ("text", "command", "complaint"),
    [
        (
            "nod_timeout = 3",
            "list",
            "goque.toml has the unknown key 'nod_timeout'; did you mean node_timeout?",
        ),
        ("limit = 3", "list", "goque.toml has the unknown key 'limit'; "),
        ("[lst]\nlimit = 3", "stats", "goque.toml has the unknown table 'lst'; did you mean list?"),
        (
            "[goque]\napp = 'app:registry'",
            "stats",
            "goque.toml has a table 'goque': there, options of all commands stand at the top, without a table",
        ),
        ("[list]\nlimt = 3", "list", "[list] in goque.toml has the unknown key 'limt'; did you mean limit?"),
        (
            "[list]\nlimt = 3",
            "config",
            "[list] in goque.toml has the unknown key 'limt'; did you mean limit?",
        ),
        (
            "node_timeout = 'long'",
            "config",
            "'node_timeout' of goque.toml: must be more than 0 seconds, such as",
        ),
        (
            "node_timeout = []",
            "config",
            "node_timeout of goque.toml must be seconds, or text such as '5m', not []",
        ),
        ("workers = '3'", "config", "workers of goque.toml must be a number, not '3'"),
        (
            "node_timeout = true",
            "config",
            "node_timeout of goque.toml must be seconds, or text such as '5m', not True",
        ),
        ("node_timeout = 0", "config", "'node_timeout' of goque.toml: must be more than 0 seconds"),
        ("drain = 'yes'", "config", "drain of goque.toml must be true or false, not 'yes'"),
        ("types = 'a,b'", "config", "types of goque.toml must be a list of names, not 'a,b'"),
        ("types = []", "config", "'types' of goque.toml: give at least one name"),
        ("roles = ['boss']", "config", "'roles' of goque.toml: 'boss' is not one of processors"),
        ("http = ''", "config", "http of goque.toml must be text, not ''"),
        ("http = 9100", "config", "http of goque.toml must be text, not 9100"),
        ("log_level = 'loud'", "list", "'log_level' of goque.toml"),
        ("[list]\nstatus = ['lost']", "list", "'status' of [list] in goque.toml"),
        ("app = 3", "list", "app of goque.toml must be text, not 3"),
        (
            "node-timeout = 1\nnode_timeout = 2",
            "list",
            "goque.toml has node_timeout and node-timeout; keep one",
        ),
    ],
)
def test_what_a_file_has_wrong_is_refused_with_what_would_be_right(
    goque: Any, text: str, command: str, complaint: str
) -> None:
    write(goque, text)
    assert complaint in goque(command, code=2).stderr


def test_help_and_version_need_no_good_file_and_show_the_defaults(goque: Any) -> None:
    write(goque, "node_timeout = 5")
    assert "[default: 30]" in " ".join(goque("supervise", "--help").stdout.split())
    write(goque, "nonsense = ")
    goque("supervise", "--help")
    goque("--help")
    goque("--version")


def test_an_unknown_command_is_refused_with_those_there_are(goque: Any) -> None:
    assert "there is no command 'lst'; there is supervise," in goque("config", "lst", code=2).stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_asked_about(goque: Any, name: str) -> None:
    assert "log_level" in said(goque, name)
