"""`goque limits` and `goque limit`, and keys of limits in other commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Database, make_database, on_every_backend

from goque import Rate, Task
from goque.storage.contract import TypePolicy
from goque.task_rules.limits import Limits

LONG = "tenant-" + "x" * 240
HOSTILE = "\u202eevil\u200b"  # a key may have no control characters, but what turns a line around


@pytest.fixture
def backend() -> str:
    """Which kind of database a test runs on; `on_every_backend` names the others too."""
    return "sqlite"


@pytest.fixture
def database(goque: Any, backend: str, tmp_path: Path) -> Iterator[Database]:
    """The database that every command of the test looks into."""
    made = make_database(backend, tmp_path)
    made.queue.storage.require_schema()
    goque.env["GOQUE_DATABASE_URL"] = made.url
    yield made
    made.queue.close()
    made.drop()


def publish(database: Database, **types: Limits) -> None:
    database.queue.storage.publish_types(
        [TypePolicy(name, 5, None, None, 60.0, 600.0, 60.0, limits=of) for name, of in types.items()]
    )


def add(database: Database, task_type: str, *keys: str | None) -> None:
    database.queue.add_tasks([Task(task_type, limit_key=key) for key in keys])


def claim(database: Database, task_type: str, owner: str, limit: int = 10) -> None:
    database.queue.storage.claim_due(task_type, owner, limit)


def start_node(database: Database, node: str, host: str, pid: int = 7) -> None:
    database.queue.storage.register_node(node, host=host, pid=pid)


@on_every_backend
def test_each_type_with_limits_shows_its_keys_and_who_holds_places(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=4, per_key=2), sms=Limits(limit=5), plain=Limits())
    start_node(database, "n1", "web1")
    start_node(database, "n2", "web2")
    add(database, "sync", *"aaaab", None)
    add(database, "sms", None)
    claim(database, "sync", "n1", 3)
    claim(database, "sync", "n2")
    claim(database, "sms", "n2")
    done = goque("limits")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "sms: limit 5",
        "  1/5 running, 0 waiting, next start: nothing waits, on web2",
        "",
        "sync: limit 4, 2 per key",
        "  4/4 running, 2 waiting, next start: when a place is free",
        "  KEY       RUNNING  WAITING  NEXT START            NODES",
        "  a         2/2      2        when a place is free  web1, web2",
        "  (no key)  1        0        nothing waits         web1",
        "  b         1/2      0        nothing waits         web1",
    ]
    assert goque("limits", "sms").stdout.splitlines() == done.stdout.splitlines()[:2]


@on_every_backend
def test_json_has_an_object_a_line_for_each_type(goque: Any, database: Database) -> None:
    rate = Rate(1, per=60, per_key=True)
    publish(database, sync=Limits(limit=4, per_key=2, rate=rate), sms=Limits(limit=5))
    start_node(database, "n1", "web1")
    add(database, "sync", "a", "a", None)
    claim(database, "sync", "n1")
    goque("limit", "sync", "--limit", "none")
    goque("pause", "sync")
    sms, sync = goque.json_lines("limits", "--json")
    assert sms == {
        "type": "sms",
        "paused": False,
        "limits": {"limit": 5, "limit_per_key": None, "rate": None},
        "declared": {"limit": 5, "limit_per_key": None, "rate": None},
        "set_at_run_time": None,
        "running": 0,
        "waiting": 0,
        "next_start": 0.0,
        "due_in": None,
        "start_in": None,
        "keys": [],
        "has_more_keys": False,
    }
    by_key = {key.pop("key"): key for key in sync["keys"]}
    assert 50 < by_key["a"].pop("next_start") <= 60
    [held] = by_key["a"].pop("holders")
    assert (database.queue.get_task(held["id"]).limit_key, held["claimed_by"]) == ("a", "n1")
    assert by_key["a"] == {
        "running": 1,
        "waiting": 1,
        "due_in": 0.0,
        "nodes": ["web1"],
        "owners": [{"claimed_by": "n1", "running": 1}],
        "left_out": 0,
    }
    assert by_key[None]["running"] == 1
    in_json = {"count": 1, "per": 60.0, "burst": None, "per_key": True}
    assert sync["limits"] == {"limit": None, "limit_per_key": 2, "rate": in_json}
    assert sync["declared"] == {"limit": 4, "limit_per_key": 2, "rate": in_json}
    assert (sync["set_at_run_time"], sync["paused"], sync["running"]) == ({"limit": None}, True, 2)


@on_every_backend
def test_limits_are_changed_on_all_nodes_and_cleared(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=20, per_key=2))
    storage = database.queue.storage

    def effective() -> Limits:
        return storage.type_policies()["sync"].effective_limits

    changed = goque(
        "limit", "sync", "--limit", "5", "--rate", "100/1m", "--burst", "10", "--rate-per-key"
    ).stdout
    assert changed == "sync: limit 5, 2 per key, rate 100/60 for each key, burst 10\n"
    assert effective() == Limits(5, 2, Rate(100, per=60, burst=10, per_key=True))
    assert goque("limit", "sync", "--per-key", "none").stdout == (
        "sync: limit 5, rate 100/60 for each key, burst 10\n"
    )
    assert goque("limit", "sync", "--rate", "3/0.5s", "--burst", "none", "--rate-per-type").stdout == (
        "sync: limit 5, rate 3/0.5\n"
    )
    assert goque("limits").stdout.splitlines()[:2] == [
        "sync: limit 5, rate 3/0.5",
        "  set at run time: limit 5, no limit per key, rate 3/0.5; declared: limit 20, 2 per key",
    ]
    assert goque("limit", "sync", "--limit", "none", "--rate", "NONE").stdout == "sync: no limits\n"
    assert effective() == Limits()
    assert goque("limits").stdout.splitlines()[1] == (
        "  set at run time: no limit, no limit per key, no rate; declared: limit 20, 2 per key"
    )
    assert goque("limit", "sync", "--clear").stdout == "sync: limit 20, 2 per key\n"
    assert effective() == Limits(20, 2)
    assert "set at run time" not in goque("limits").stdout


@on_every_backend
def test_what_is_left_out_of_a_rate_stays(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(rate=Rate(100, per=60, burst=10, per_key=True)), sms=Limits(limit=1))

    def changed(*options: str, of: str = "sync", **env: str) -> str:
        said: str = goque("limit", of, *options, **env).stdout
        return said.strip().removeprefix(f"{of}: ")

    assert changed("--rate", "50/60") == "rate 50/60 for each key, burst 10"
    assert changed("--burst", "5") == "rate 50/60 for each key, burst 5"
    assert changed("--rate-per-type") == "rate 50/60, burst 5"
    assert changed("--rate-per-key", "--burst", "none") == "rate 50/60 for each key"
    assert changed("--rate", "20/60", GOQUE_RATE_PER_KEY="no") == "rate 20/60"
    assert changed("--limit", "3") == "limit 3, rate 20/60"
    assert database.queue.storage.type_policies()["sync"].effective_limits == Limits(
        3, None, Rate(20, per=60)
    )
    assert changed("--rate", "none") == "limit 3"
    assert changed("--rate", "5/1", "--burst", "2") == "limit 3, rate 5/1, burst 2"
    assert changed("--clear") == "rate 100/60 for each key, burst 10"
    for options in (["--burst", "5"], ["--rate-per-key"]):
        error = goque("limit", "sms", *options, code=2).stderr
        assert "change a rate, and the type has none; give --rate COUNT/TIME" in error
    assert "give one of them" in goque("limit", "sync", "--clear", "--rate-per-type", code=2).stderr
    assert goque("limit", "snyc", "--limit", "5", code=2).stderr.startswith("goque: no supervisor has run")
    assert changed("--limit", "none", of="sms") == "no limits"


def test_wrong_changes_change_nothing(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=20))
    assert goque("limit", "snyc", "--limit", "5", code=2).stderr == (
        "goque: no supervisor has run tasks of type 'snyc'; did you mean 'sync'?\n"
    )
    goque("limit", "sync", "--limit", "5", "--rate", "1/0", code=2)
    goque("limit", "sync", "--limit", "5", "--clear", code=2)
    assert goque.json_lines("limits", "--json")[0]["set_at_run_time"] is None


def test_the_variable_of_list_sets_no_limit(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=20))
    assert goque("limit", "sync", "--per-key", "3", GOQUE_LIMIT="50").stdout == "sync: limit 20, 3 per key\n"
    assert goque("limit", "sync", "--per-key", "3", GOQUE_TYPE_LIMIT="50").stdout == (
        "sync: limit 50, 3 per key\n"
    )
    Path(goque.directory, "goque.toml").write_text("[limit]\nlimit = 30\nper_key = 'none'\n")
    assert (
        goque("limit", "sync", "--burst", "1", "--rate", "1/1").stdout
        == "sync: limit 30, rate 1/1, burst 1\n"
    )


def test_without_limits_it_says_how_to_set_one(goque: Any, database: Database) -> None:
    nothing = goque("limits")
    assert (nothing.stdout, nothing.stderr) == (
        "",
        "no type has limits; `goque limit TYPE --limit 5` sets one\n",
    )
    publish(database, **{"my mail": Limits(), "sync": Limits(limit=1)})
    assert goque("limits", "my mail").stderr == (
        "my mail has no limits; `goque limit 'my mail' --limit 5` sets one\n"
    )
    assert goque("limits", "snyc", code=2).stderr == "goque: there is no type 'snyc'; did you mean 'sync'?\n"
    assert goque("limits", "my mail", "--json").stdout == ""


def test_of_many_keys_the_busiest_are_shown(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(per_key=1))
    add(database, "sync", *"aaabbc")
    done = goque("limits", "--keys", "2")
    assert [line.split()[0] for line in done.stdout.splitlines()[3:]] == ["a", "b"]
    assert done.stdout.splitlines()[1] == "  0 running, 6 waiting, next start: now"
    assert done.stderr == "  only 2 keys are shown; --keys shows more\n"
    assert goque("limits", "--keys", "3").stderr == ""
    assert goque("limits", "--keys", "0").stdout.splitlines() == [
        "sync: 1 per key",
        "  0 running, 6 waiting, next start: now",
    ]
    [line] = goque.json_lines("limits", "--keys", "1", "--json")
    assert (len(line["keys"]), line["has_more_keys"]) == (1, True)


def test_what_a_rate_holds_back_and_a_paused_type_say_so(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=9, rate=Rate(1, per=1000)), sms=Limits(limit=1))
    goque("pause", "sms")
    add(database, "sync", "a", "a")
    add(database, "sms", None)
    claim(database, "sync", "gone")
    sms, sync = goque("limits").stdout.split("\n\n")
    assert sms.splitlines()[1] == "  0/1 running, 1 waiting, next start: when it is resumed"
    _, counts, _, row = sync.splitlines()
    assert counts == "  1/9 running, 1 waiting, next start: in 16m"
    assert row.split() == ["a", "1", "1", "in", "16m", "gone", "(not", "known)"]


@on_every_backend
def test_keys_of_which_none_may_start_are_not_said_to_start_now(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(per_key=1))
    add(database, "sync", *"aa")
    claim(database, "sync", "n1")
    assert goque("limits").stdout.splitlines()[1:4:2] == [
        "  1 running, 1 waiting, next start: when a place is free",
        "  a    1/1      1        when a place is free  n1 (not known)",
    ]
    database.queue.add_task(Task("sync", limit_key="b", delay=3590))
    both = goque("limits").stdout.splitlines()
    assert both[1] == "  1 running, 2 waiting, next start: when a place is free, or in 59m"
    assert both[4].split() == ["b", "0/1", "1", "in", "59m", "-"]
    [line] = goque.json_lines("limits", "--json")
    assert 3500 < line["start_in"] <= 3590
    assert (line["next_start"], line["due_in"]) == (0.0, 0.0)
    assert 3500 < line["keys"][1]["due_in"] <= 3590
    add(database, "sync", "c")
    assert "3 waiting, next start: now" in goque("limits").stdout


def test_two_nodes_of_one_host_are_told_apart(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=2))
    for pid, node in ((11, "n1"), (12, "n2"), (13, "n3")):
        start_node(database, node, "web1", pid)
        add(database, "sync", None)
        claim(database, "sync", node)
    database.queue.storage.retire_node("n2")
    assert goque("limits").stdout.splitlines()[1] == (
        "  2/2 running, 1 waiting, next start: when a place is free, on web1 pid 11, web1 pid 12 (stopped)"
    )


def test_long_and_hostile_keys_fit_a_terminal_of_80_columns(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=3, per_key=2), **{HOSTILE: Limits(limit=1)})
    start_node(database, "n1", "host-" + "y" * 60)
    add(database, "sync", LONG, LONG, HOSTILE)
    add(database, HOSTILE, None)
    claim(database, "sync", "n1")
    seen = goque.in_terminal("limits")
    assert seen.code == 0
    assert max(map(len, seen.screen.splitlines())) <= 80
    assert "\u202e" not in seen.screen
    assert "  tenant-x" in seen.screen
    assert "\\u202eevil\\u200b: limit 1" in seen.screen
    assert "next start: nothing waits" in seen.screen
    piped = goque("limits").stdout
    assert LONG in piped
    assert "\u202e" not in piped
    assert "\u202e" not in goque("limits", "--json").stdout


@on_every_backend
def test_a_key_with_white_space_around_it_is_quoted(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(per_key=1))
    keys = ["acme", " acme", "acme ", "\u2003"]
    add(database, "sync", *keys)
    shown = [line.split("  0/1")[0].strip() for line in goque("limits").stdout.splitlines()[3:]]
    assert sorted(shown) == ['" acme"', '"\\u2003"', '"acme "', "acme"]
    assert {key["key"] for key in goque.json_lines("limits", "--json")[0]["keys"]} == set(keys)
    odd = next(task for task in database.queue.get_tasks() if task.limit_key == "acme ")
    assert re.search(r'^limit_key: +"acme "$', goque("show", odd.id).stdout, re.MULTILINE)


@on_every_backend
def test_a_task_is_enqueued_with_a_key_and_shown_with_it(goque: Any, database: Database) -> None:
    task_id = goque("enqueue", "sync", "--limit-key", "ada").stdout.strip()
    assert database.queue.get_task(task_id).limit_key == "ada"
    assert json.loads(goque("show", task_id, "--json").stdout)["limit_key"] == "ada"
    assert [line.split() for line in goque("show", task_id).stdout.splitlines() if "limit_key" in line] == [
        ["limit_key:", "ada"]
    ]


@on_every_backend
def test_a_key_that_stands_for_none_is_shown_as_none(goque: Any, database: Database) -> None:
    publish(database, sync=Limits(limit=1))
    task_id = goque("enqueue", "sync").stdout.strip()
    claim(database, "sync", "n1")
    assert database.queue.get_task(task_id).stored_limit_key == ""
    assert json.loads(goque("show", task_id, "--json").stdout)["limit_key"] is None
    assert goque.json_lines("list", "--json")[0]["limit_key"] is None
    assert [line.split() for line in goque("show", task_id).stdout.splitlines() if "limit_key" in line] == [
        ["limit_key:", "-"]
    ]


def test_json_lines_have_keys_of_their_own_or_that_of_the_option(goque: Any) -> None:
    lines = ['{"type": "t", "limit_key": "ada"}', '{"type": "t"}', '{"type": "t", "limit_key": ""}']
    lines.append('{"type": "t", "limit_key": 5}')
    done = goque("enqueue", "--jsonl", "-", "--limit-key", "bob", stdin="\n".join(lines), code=1)
    assert done.stdout == f"enqueued 2 tasks in {goque.url}\n"
    bad = [line for line in done.stderr.splitlines() if ": line " in line]
    assert [line.split(": ")[1] for line in bad] == ["line 3", "line 4"]
    assert "limit_key must have 1 to 255 characters" in bad[0]
    goque("enqueue", "u", "--jsonl", "-", "--limit-key", "eve", stdin="{}\n")
    keys = {row["type"]: set() for row in goque.json_lines("list", "--json")}
    for row in goque.json_lines("list", "--json"):
        keys[row["type"]].add(row["limit_key"])
    assert keys == {"t": {"ada", "bob"}, "u": {"eve"}}


def test_check_names_the_limits_of_a_type_and_what_was_set_at_run_time(
    goque: Any, database: Database
) -> None:
    (goque.directory / "app.py").write_text(
        "import goque\nregistry = goque.Registry()\n"
        "registry.add_processor('sync', goque.noop_task_processor, limit=20, limit_key='a', limit_per_key=2,\n"
        "    rate=goque.Rate(100, per=60))\n"
        "registry.add_processor('plain', goque.noop_task_processor)\n"
    )
    publish(database, sync=Limits(limit=20))
    goque("limit", "sync", "--limit", "5")
    types = [line for line in goque("check", "app:registry").stdout.splitlines() if line.startswith("type")]
    options = "handler=def pool=default timeout=30 max_attempts=5"
    assert types == [
        f"type      sync (set at run time: limit 5): {options} limit_key=given limit=20 limit_per_key=2 rate=100/60",
        f"type      plain: {options}",
    ]
