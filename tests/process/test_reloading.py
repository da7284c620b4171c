"""SIGHUP: new code and new types come in worker by worker; a broken app leaves the old workers where they are."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tree import StartTree, Tree, eventually, free_port, get, write_app

APP = """
registry.processor("hold", workers=1, fetch_tick=0.1)(hold)

@registry.processor("quick", workers=2, min_workers=2, fetch_tick=0.1)
def quick(task: Task):
    with run_of(task):
        note("version", 1)
        time.sleep(0.002)
"""

SHARED = """
registry.pool("default", workers=2, min_workers=1, fetch_tick=0.1)
registry.processor("hold")(hold)

@registry.processor("quick")
def quick(task: Task):
    note("version", 1)
"""


def reload(tree: Tree, source: str) -> None:
    write_app(tree.directory, source)
    tree.signal(signal.SIGHUP)


def versions(tree: Tree) -> set[str]:
    return {line[1] for line in tree.journal() if line[0] == "version"}


@pytest.mark.fault(19)
def test_hangup_twenty_times_under_load_loses_and_charges_nothing(start_tree: StartTree) -> None:
    names = [f"t{n}" for n in range(3000)]
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("quick", *names)
    eventually(lambda: versions(tree))
    before = set(tree.workers())
    for count in range(20):
        tree.signal(signal.SIGHUP)
        eventually(lambda: tree.log.count("importing the app again") > count)  # noqa: B023 - called at once
    eventually(tree.database.is_settled, within=40)
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {
        ("done", 0, None)
    }
    tree.assert_each_ran(1, names)
    eventually(lambda: len(now := tree.workers()) == 2 and not before & set(now))
    eventually(lambda: len(tree.pids("app")) == 1)


def test_a_reload_brings_new_code_new_options_and_new_types_and_drops_old_ones(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("hold", "long")
    tree.database.enqueue("quick", "before")
    running = tree.running_pid("long")
    eventually(lambda: versions(tree) == {"1"})
    old = {*tree.workers("quick")} - {running}
    new = """
@registry.processor("quick", workers=3, min_workers=3, fetch_tick=0.1)
def quick(task: Task):
    note("version", 2)

@registry.processor("fresh", workers=1, fetch_tick=0.1)
def fresh(task: Task):
    note("version", "fresh")
"""
    reload(tree, new)
    eventually(lambda: len(now := {*tree.workers("quick")}) == 3 and not old & now)
    tree.database.enqueue("fresh", "f")
    eventually(lambda: "fresh" in versions(tree))
    eventually(lambda: tree.database.counts("fresh") == {"done": 1})
    tree.database.enqueue("quick", "after")
    eventually(lambda: versions(tree) == {"1", "2", "fresh"})
    tree.database.enqueue("hold", "orphan")
    tree.let_go("long")
    eventually(lambda: tree.database.task("long").status == "done")
    eventually(lambda: {*tree.workers("hold")} <= {*tree.workers("quick")} - {running})
    assert tree.started("long") == [running]
    assert tree.database.task("orphan").status == "new"


def test_a_reload_after_the_app_nursery_was_killed_gives_workers_that_are_heard(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("quick", "before")
    eventually(tree.database.is_settled)
    (nursery,) = tree.pids("app")
    os.kill(nursery, signal.SIGKILL)
    eventually(lambda: (now := tree.pids("app")) and nursery not in now)
    reload(tree, APP.replace('"version", 1', '"version", 2'))
    eventually(lambda: tree.log.count("is replaced: reload") == 2)
    tree.database.enqueue("quick", "after")
    eventually(tree.database.is_settled)
    assert versions(tree) == {"1", "2"}


def test_a_running_handler_ends_in_its_old_worker_while_the_code_is_replaced(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    tree.signal(signal.SIGHUP)
    eventually(lambda: "importing the app again" in tree.log)
    eventually(lambda: len(tree.pids("app")) == 1)
    assert running in tree.workers()
    tree.let_go("long", "next")
    tree.database.enqueue("hold", "next")
    eventually(tree.database.is_settled)
    eventually(lambda: (now := tree.workers()) and running not in now)
    assert {task.attempts for task in tree.database.tasks()} == {0}
    tree.assert_each_ran(1, ["long", "next"])


def test_a_pool_starts_its_second_worker_for_a_task_behind_a_long_one_also_after_a_reload(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=SHARED)
    tree.database.enqueue(
        "quick", "a"
    )  # after a quick task, one is sent ahead; more would start the second worker
    eventually(tree.database.is_settled)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    tree.database.enqueue("quick", "d")
    eventually(lambda: tree.database.is_settled("quick"))
    tree.signal(signal.SIGHUP)
    eventually(lambda: "is replaced: reload" in tree.log)
    tree.database.enqueue("quick", "e")
    eventually(lambda: tree.database.is_settled("quick"))
    assert running in tree.workers()
    tree.let_go("long")
    eventually(tree.database.is_settled)


def test_a_long_handler_does_not_leave_the_other_workers_with_the_old_code(start_tree: StartTree) -> None:
    app = APP.replace('"hold", workers=1', '"hold", workers=2, min_workers=2')
    tree = start_tree("--types", "hold", app=app)
    old = eventually(lambda: (now := tree.workers()) and len(now) == 2 and now)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    tree.signal(signal.SIGHUP)
    eventually(lambda: set(tree.workers()) & set(old) == {running})
    tree.let_go("long")
    eventually(tree.database.is_settled)
    eventually(lambda: len(now := tree.workers()) == 2 and running not in now)
    tree.assert_each_ran(1, ["long"])


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    "broken",
    ["import nothing_of_this_name", "registry = None", "ctypes.string_at(0)", "os._exit(0)", "def (:"],
)
def test_after_a_reload_that_fails_the_old_workers_stay_and_the_next_one_works(
    start_tree: StartTree, broken: str
) -> None:
    tree = start_tree("--types", "quick", app=APP)
    tree.database.enqueue("quick", "before")
    eventually(tree.database.is_settled)
    workers = tree.workers()
    reload(tree, broken)
    eventually(lambda: "the reload failed, and the old workers continue" in tree.log)
    tree.database.enqueue("quick", "after")
    eventually(tree.database.is_settled)
    assert tree.workers() == workers
    assert versions(tree) == {"1"}
    reload(tree, APP.replace('"version", 1', '"version", 2'))
    eventually(lambda: len(now := tree.workers()) == 2 and not set(now) & set(workers))
    tree.database.enqueue("quick", "mended")
    eventually(tree.database.is_settled)
    assert versions(tree) == {"1", "2"}


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("processes", "title"),
    [("workers=1, fetch_tick=0.1", "type 'hold'"), ("pool='fragile'", "pool 'fragile'")],
)
def test_workers_that_cannot_boot_any_more_claim_nothing_while_others_go_on(
    start_tree: StartTree, processes: str, title: str
) -> None:
    fragile = f"""
registry.pool("fragile", workers=1, fetch_tick=0.1)
registry.processor("other", pool="fragile")(hold)
broken = {title.split("'")[1][:6]!r}
if Path("broken").exists() and "w0:" + broken in Path("/proc/self/comm").read_text():
    raise RuntimeError("no model here")
"""
    app = APP.replace("workers=1, fetch_tick=0.1)(hold)", f"{processes})(hold)") + fragile
    port = free_port()
    tree = start_tree("--start-method", "spawn", "--http", f"127.0.0.1:{port}", app=app)
    holders = title.split("'")[1]
    tree.let_go("before", "during")
    tree.database.enqueue("hold", "before")
    eventually(tree.database.is_settled)
    broken = Path(tree.directory, "broken")
    broken.touch()
    os.kill(tree.workers(holders)[0], signal.SIGKILL)
    eventually(lambda: f"workers of {title} cannot boot" in tree.log)
    tree.database.enqueue("hold", "during")
    tree.database.enqueue("quick", *(f"q{n}" for n in range(20)))
    eventually(lambda: tree.database.counts("quick") == {"done": 20})
    assert (tree.database.task("during").status, tree.database.task("during").claims) == ("new", 0)
    eventually(lambda: "no worker can boot" in get(port, "/readyz")[1])
    assert get(port, "/readyz")[0] == 503
    broken.unlink()
    tree.signal(signal.SIGHUP)
    eventually(tree.database.is_settled)
    assert (tree.database.task("during").status, tree.database.task("during").attempts) == ("done", 0)
    eventually(lambda: get(port, "/readyz")[0] == 200)


def test_a_tree_that_reloads_takes_changed_files_by_itself(start_tree: StartTree) -> None:
    tree = start_tree("--reload", app=APP)
    tree.database.enqueue("quick", "before")
    eventually(lambda: versions(tree) == {"1"})
    tree.pid("reloader")
    for version in (2, 3):  # twice, and maybe within the second that bytecode is good for
        write_app(tree.directory, APP.replace('note("version", ', f'note("version", {version} or '))
        eventually(
            lambda count=version - 1: tree.log.count("app.py changed: importing the app again") == count
        )
        eventually(lambda: len(tree.pids("app")) == 1)

        def has_run(version: int = version) -> bool:
            tree.database.enqueue("quick", f"{version}-{time.monotonic()}")
            return str(version) in versions(tree)

        eventually(has_run)
    write_app(tree.directory, "import nosuch")
    eventually(lambda: "the reload failed, and the old workers continue" in tree.log)
    eventually(tree.database.is_settled)
