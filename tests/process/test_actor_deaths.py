"""Lease, healer, cleaner, scheduler, monitor, nurseries and guard, killed: they come back, and tasks do not notice."""

from __future__ import annotations

import json
import os
import signal

import pytest
from tree import StartTree, Tree, eventually, free_port, get

APP = """
registry.processor("hold", workers=2, min_workers=1, fetch_tick=0.1)(hold)

@registry.processor("quick", workers=1, fetch_tick=0.1)
def quick(task: Task):
    with run_of(task):
        pass

registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: Task("quick")))
"""
SERVICES = ("lease", "healer", "cleaner", "scheduler", "monitor")


def kill_and_await_another(tree: Tree, name: str) -> None:
    pid = tree.pid(name)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: [other for other in tree.pids(name) if other != pid], within=5)


@pytest.mark.fault(16)
def test_each_service_is_restarted_when_it_is_killed_and_tasks_do_not_notice(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    for round_number in range(3):
        for service in SERVICES:
            kill_and_await_another(tree, service)
        tree.database.enqueue("quick", f"quick-{round_number}")
    eventually(lambda: get(port, "/readyz")[0] == 200)
    tree.let_go("long")
    eventually(tree.database.is_settled)
    assert tree.started("long") == [running]
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {
        ("done", 0, None)
    }
    for service in SERVICES:
        tree.pid(service)


@pytest.mark.fault(16)
@pytest.mark.parametrize("name", ["actors", "app", "guard"])
def test_what_starts_and_guards_the_others_is_replaced_too(start_tree: StartTree, name: str) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    kill_and_await_another(tree, name)
    tree.database.enqueue("quick", "first")
    eventually(lambda: tree.database.task("first").status == "done")
    worker = tree.started("first")[0]
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: [pid for pid in tree.workers("quick") if pid not in (worker, running)])
    kill_and_await_another(tree, "healer")
    tree.database.enqueue("quick", "quick")
    eventually(lambda: tree.database.task("quick").status == "done")
    tree.let_go("long")
    eventually(tree.database.is_settled)
    assert tree.started("long") == [running]
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}


@pytest.mark.parametrize("name", ["actors", "app", "lease", "monitor", "guard"])
def test_a_tree_that_loses_an_actor_while_it_stops_still_stops_in_order(
    start_tree: StartTree, name: str
) -> None:
    tree = start_tree("--http", f"127.0.0.1:{free_port()}", app=APP)
    tree.database.enqueue("hold", "long")
    tree.running_pid("long")
    tree.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in tree.log)
    os.kill(tree.pid(name), signal.SIGKILL)
    tree.let_go("long")
    assert tree.wait() == 0
    assert tree.database.task("long").status == "done"
    if name == "lease":
        start_tree("--types", "quick")
        eventually(lambda: sorted(tree.database.node_states()) == ["alive", "dead"])


@pytest.mark.fault(36)
def test_a_type_that_no_registry_knows_stays_new_and_is_counted_as_unregistered(
    start_tree: StartTree,
) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    tree.database.enqueue("stranger", "s1", "s2")
    tree.database.enqueue("quick", "quick")
    eventually(lambda: tree.database.task("quick").status == "done")
    unregistered = 'goque_queue_depth{status="new",task_type="unregistered"} 2.0'
    eventually(lambda: unregistered in get(port, "/metrics")[1])
    assert tree.database.counts("stranger") == {"new": 2}
    processed = 'goque_processed_tasks_total{status="done",task_type="quick"} 1.0'
    eventually(lambda: processed in get(port, "/metrics")[1])
    eventually(lambda: json.loads(get(port, "/readyz")[1]) == {"ready": True, "reasons": {}})
    assert get(port, "/healthz")[0] == 200
    for task in tree.database.tasks("stranger"):
        tree.database.queue.cancel_task(task.id)
