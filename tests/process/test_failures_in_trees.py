"""Real trees: what fails differently is in different groups, with the version of the app whose worker ran it."""

from __future__ import annotations

import os
import signal

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually, write_app

from goque.storage import open_storage
from goque.storage.contract import FailureSummary

APP = """
registry.version = "1.0"

@registry.processor("job", workers=2, max_attempts=1, timeout=1, timeout_grace=0.5)
def job(task: Task) -> None:
    note("ran", task)
    if task.payload == "segfault":
        ctypes.string_at(0)
    if task.payload == "key":
        {}["user"]
    if task.payload == "value":
        raise ValueError(task.id)
    if task.payload == "slow":
        time.sleep(60)
    if task.payload == "deaf":
        while True:
            try:
                time.sleep(60)
            except goque.TaskTimeout:
                pass
"""


def groups(tree: Tree) -> dict[str, FailureSummary]:
    storage = open_storage(tree.database.url)
    try:
        return {
            f"{one.cause} {one.error_class}".strip() + f" {one.line}": one for one in storage.failure_groups()
        }
    finally:
        storage.close()


def run(tree: Tree, *payloads: str) -> None:
    for number, payload in enumerate(payloads):
        tree.database.enqueue("job", f"{payload}-{number}-{os.urandom(4).hex()}", payload=payload)
    eventually(lambda: tree.database.is_settled("job"), within=30)


@on_every_backend
def test_each_way_to_fail_is_a_group_of_its_own(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    run(tree, "segfault", "key", "key", "value", "slow", "segfault", "deaf", "fine")
    found = groups(tree)
    assert {name: one.count for name, one in found.items()} == {
        "crash: SIGSEGV app.py in job": 2,
        'exception KeyError app.py in job: {}["user"]': 2,
        "exception ValueError app.py in job: raise ValueError(task.id)": 1,
        "timeout app.py in job: time.sleep(60)": 1,
        "timeout app.py in job": 1,
    }
    assert {(one.first_version, one.last_version) for one in found.values()} == {("1.0", "1.0")}


def test_a_reload_with_a_new_version_moves_the_last_version(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    run(tree, "key", "segfault")
    eventually(lambda: len(tree.workers("job")) == 2, within=10)  # the one that crashed has its successor
    write_app(
        tree.directory, APP.replace('"1.0"', '"2.0"').replace("\n@registry", "\n# a line above\n@registry")
    )
    old = {*tree.workers("job")}
    tree.signal(signal.SIGHUP)
    eventually(lambda: len(now := {*tree.workers("job")}) == 2 and not old & now)
    run(tree, "key", "segfault")
    assert {name: (one.count, one.first_version, one.last_version) for name, one in groups(tree).items()} == {
        'exception KeyError app.py in job: {}["user"]': (2, "1.0", "2.0"),
        "crash: SIGSEGV app.py in job": (2, "1.0", "2.0"),
    }


def test_the_environment_names_the_version(start_tree: StartTree) -> None:
    tree = start_tree(app=APP, GOQUE_APP_VERSION="2026-11-30")
    run(tree, "key")
    [found] = groups(tree).values()
    assert (found.first_version, found.last_version) == ("2026-11-30", "2026-11-30")


@pytest.mark.fault(10)
def test_a_restarted_fetcher_knows_the_version_of_its_workers(start_tree: StartTree) -> None:
    tree = start_tree(
        app=APP.replace("timeout=1,", "timeout=30,").replace("time.sleep(60)", "hold(task); {}[7]", 1)
    )
    [task] = tree.database.enqueue("job", "held", payload="slow")
    tree.running_pid("held")
    for pid in tree.pids("fetcher"):
        os.kill(pid, signal.SIGKILL)
    tree.let_go("held")
    eventually(lambda: tree.database.is_settled("job"), within=30)
    [found] = groups(tree).values()
    assert (found.error_class, found.last_version, found.example) == ("KeyError", "1.0", task.id)
