"""Any process may die under load: only the task that it was running is charged, and no task is lost."""

from __future__ import annotations

import os
import signal

import pytest
from databases import on_every_backend
from tree import StartTree, Tree, eventually, free_port

APP = """
options = dict(workers=2, min_workers=2, fetch_tick=0.1, next_attempt_at=retry.static(0))

@registry.processor("red", **options)
def red(task: Task):
    with run_of(task):
        if task.payload == "segfault" and task.attempts == 0:
            ctypes.string_at(0)

@registry.processor("blue", **options)
async def blue(task: Task):
    with run_of(task):
        await asyncio.sleep(0.001)

@registry.processor("steady", **options)
def steady(task: Task):
    with run_of(task):
        time.sleep(0.01)

registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: Task("red")))
"""


@on_every_backend
def test_a_handler_that_segfaults_among_500_tasks_of_two_types_costs_exactly_one_attempt(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--drain", "--types", "red,blue", app=APP)
    reds, blues = [f"r{n}" for n in range(250)], [f"b{n}" for n in range(249)]
    tree.database.enqueue("red", *reds[:125])
    tree.database.enqueue("red", "segfault", payload="segfault")
    tree.database.enqueue("red", *reds[125:])
    tree.database.enqueue("blue", *blues)
    assert tree.wait() == 0
    assert tree.database.counts() == {"done": 500}
    charged = {task.external_id: task.errors for task in tree.database.tasks() if task.attempts}
    assert charged == {"segfault": "attempt 1: worker crashed: signal 11 (SIGSEGV)\n"}
    assert [task.attempts for task in tree.database.tasks() if task.errors] == [1]
    tree.assert_each_ran(1, [*reds, *blues])
    tree.assert_each_ran(2, ["segfault"])


@pytest.mark.fault(1)
@pytest.mark.fault(14)
@pytest.mark.fault(16)
def test_killing_each_actor_in_turn_under_load_loses_nothing_and_charges_only_what_ran_in_a_killed_worker(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "steady,blue", "--http", f"127.0.0.1:{free_port()}", app=APP)
    names = [f"s{n}" for n in range(1500)]
    blues = [f"b{n}" for n in range(1500)]
    tree.database.enqueue("steady", *names)
    tree.database.enqueue("blue", *blues)
    eventually(lambda: tree.database.counts().get("done", 0) > 20)
    killed_workers = []
    for role in (
        "lease",
        "fetcher",
        "healer",
        f"w0:{tree.pool_of('steady')}",
        "cleaner",
        "app",
        "scheduler",
        "monitor",
        "actors",
        "guard",
    ):
        victim = eventually(lambda: tree.pids(role))[0]  # noqa: B023 - called at once
        os.kill(victim, signal.SIGKILL)
        if role.startswith("w"):
            killed_workers.append(victim)
        eventually(lambda: [pid for pid in tree.pids(role) if pid != victim])  # noqa: B023 - called at once
    assert not tree.database.is_settled(), "the load ended before the last actor was killed"
    eventually(tree.database.is_settled, within=40)
    assert tree.database.counts() == {"done": 3000}
    charged = {task.external_id: task for task in tree.database.tasks() if task.attempts}
    assert len(charged) <= len(killed_workers)
    for name, task in charged.items():
        assert task.errors == "attempt 1: worker crashed: signal 9 (SIGKILL)\n"
        assert tree.started(name)[0] in killed_workers
    tree.assert_each_ran(1, [name for name in (*names, *blues) if name not in charged])
    tree.assert_each_ran(2, charged)
    assert_complete(tree)


def assert_complete(tree: Tree) -> None:
    """See that every process of the tree is there, once."""
    for role in ("lease", "healer", "cleaner", "scheduler", "monitor", "actors", "app", "guard"):
        assert tree.pid(role)
    pools = tree.pools("steady", "blue")
    eventually(lambda: len(tree.pids("fetcher")) == pools)
    eventually(lambda: len({*tree.workers("steady"), *tree.workers("blue")}) == 4)
