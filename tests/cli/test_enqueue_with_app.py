"""`goque enqueue` with an app: the task is the one that the registry's queue would have made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

APP = """
import goque, msgspec

print("imported")
registry = goque.Registry(database_url="sqlite:///goque.db")


class Page(msgspec.Struct):
    tenant: str
    number: int = 0


def key(page: Page) -> str:
    if page.tenant == "nobody":
        raise LookupError("no such tenant")
    return page.tenant


@registry.processor("sync", limit_key=key, limit_per_key=2, priority=7)
def sync(page: Page) -> None: ...


@registry.processor("report", unique="waiting", unique_key=lambda page: page.tenant)
def report(page: Page) -> None: ...


@registry.processor("index", debounce=60, unique_key="all")
def index(task: goque.Task) -> None: ...


registry.declare("elsewhere")
"""
ACME = '{"tenant": "acme"}'


@pytest.fixture
def shop(goque: Any) -> Any:
    Path(goque.directory, "shop.py").write_text(APP)
    goque.env["GOQUE_APP"] = "shop:registry"
    return goque


def test_a_task_gets_the_key_and_the_priority_of_its_type(shop: Any) -> None:
    done = shop("enqueue", "sync", ACME)
    task = shop.queue.get_task(done.stdout.strip())
    assert (task.limit_key, task.priority) == ("acme", 7)
    assert done.stderr == f"imported\nenqueued in {shop.url}\n"
    given = shop("enqueue", "sync", ACME, "--limit-key", "urgent", "--priority", "0").stdout.strip()
    task = shop.queue.get_task(given)
    assert (task.limit_key, task.priority) == ("urgent", 0)


def test_without_the_app_nothing_is_known_of_the_type(shop: Any) -> None:
    bare = shop("enqueue", "sync", '{"no": "tenant"}', "--bare").stdout.strip()
    del shop.env["GOQUE_APP"]
    none = shop("enqueue", "sync", ACME).stdout.strip()
    for task in (shop.queue.get_task(bare), shop.queue.get_task(none)):
        assert (task.limit_key, task.priority) == (None, 0)


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("snyc", ACME), 2, "the registry has no type 'snyc'; did you mean 'sync'?"),
        (("sync", '{"tenant": 5}'), 1, "Expected `str`, got `int` - at `$.tenant`"),
        (("sync",), 1, "type 'sync' takes Page, and no payload was given"),
        (("sync", '{"tenant": "nobody"}'), 2, "type 'sync': limit_key raised LookupError: no such tenant"),
    ],
)
def test_what_the_registry_refuses_is_refused_in_one_line(
    shop: Any, given: tuple[str, ...], code: int, told: str
) -> None:
    error = shop("enqueue", *given, code=code).stderr.removeprefix("imported\n")
    assert told in error
    assert len(error.splitlines()) == 1
    assert shop("enqueue", "elsewhere", "5").stdout
    assert [row["type"] for row in shop.json_lines("list", "--json")] == ["elsewhere"]


def test_unique_tasks_are_refused_and_debounced_ones_put_together(shop: Any) -> None:
    first = shop("enqueue", "report", ACME).stdout.strip()
    error = shop("enqueue", "report", '{"tenant": "acme", "number": 2}', code=1).stderr.splitlines()[-1]
    assert error == f"goque: a task of type 'report' with unique key 'acme' exists already: {first}"
    waiting = shop("enqueue", "index", '"one"').stdout
    again = shop("enqueue", "index", '"two"')
    assert again.stdout == waiting
    assert again.stderr.splitlines()[-1] == f"put into a waiting task with the same unique key in {shop.url}"
    assert shop.queue.get_task(waiting.strip()).payload == "two"


def test_each_json_line_is_what_the_registry_makes_of_it(shop: Any) -> None:
    told = [
        {"type": "sync", "payload": {"tenant": "acme"}},
        {"type": "sync", "payload": {"tenant": 5}},
        {"type": "snyc", "payload": {"tenant": "acme"}},
        {"type": "report", "payload": {"tenant": "acme"}},
        {"type": "report", "payload": {"tenant": "acme", "number": 2}},
        {"type": "index"},
        {"type": "index"},
        {"type": "sync", "payload": {"tenant": "bolt"}, "limit_key": "urgent", "priority": 1},
        {"type": "elsewhere", "external_id": "x"},
        {"type": "elsewhere", "external_id": "x"},
    ]
    done = shop("enqueue", "--jsonl", "-", stdin="\n".join(map(json.dumps, told)), code=1)
    assert done.stdout == f"enqueued 6 tasks in {shop.url}\n"
    printed, *bad, summary = done.stderr.splitlines()
    assert (printed, summary) == ("imported", "goque: 4 lines were not enqueued")
    assert [line.split(": ")[1] for line in bad] == ["line 2", "line 3", "line 5", "line 10"]
    assert bad[2].endswith("a task of type 'report' with unique key 'acme' exists already")
    assert bad[3].endswith("a task of type 'elsewhere' with external id 'x' exists already")
    made = [(row["type"], row["limit_key"], row["priority"]) for row in shop.json_lines("list", "--json")]
    assert sorted(made, key=str) == [
        ("elsewhere", None, 0),
        ("index", None, 0),
        ("report", None, 0),
        ("sync", "acme", 7),
        ("sync", "urgent", 1),
    ]


@pytest.mark.parametrize("source", ["1 / 0", "import os\nos._exit(3)"])
def test_an_app_that_does_not_load_enqueues_nothing_and_says_what_to_do(shop: Any, source: str) -> None:
    Path(shop.directory, "shop.py").write_text(source)
    error = shop("enqueue", "sync", ACME, "--database-url", shop.url, code=2).stderr
    assert error.endswith("; the app has the options of its tasks: fix the app, or give --bare\n")
    assert len(error.splitlines()) == 1
    shop("enqueue", "sync", ACME, "--database-url", shop.url, "--bare")
    assert len(shop.json_lines("list", "--json", "--database-url", shop.url)) == 1
