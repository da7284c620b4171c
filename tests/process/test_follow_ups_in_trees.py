"""Follow-ups in a tree: each success leaves its own behind once, whatever dies, and nothing else does."""

from __future__ import annotations

import os
import signal

from databases import on_every_backend
from tree import StartTree, eventually

APP = """
registry.pool("default", workers=2, min_workers=2, async_workers=1, fetch_tick=0.1)
options = dict(next_attempt_at=retry.static(0), timeout=0.5, timeout_grace=0.3, max_attempts=3)
registry.declare("after")

def leave(task):
    goque.follow_up("after", [task.external_id, task.attempts])

@registry.processor("ends", **options)
def ends(task: Task):
    leave(task)
    if task.attempts:
        return
    match task.payload:
        case "crash": os.kill(os.getpid(), signal.SIGKILL)
        case "timeout": time.sleep(9)
        case "raise": raise ValueError("once")
        case "snooze": raise goque.RetryTask("again", delay=0)
        case "duplicate": goque.follow_up("after", external_id="taken")

@registry.processor("awaited", **options)
async def awaited(task: Task):
    await asyncio.sleep(0)
    leave(task)

@registry.processor("held", **(options | {"timeout": 60}))
def held(task: Task):
    leave(task)
    hold(task)

@registry.processor("many", **(options | {"timeout": 60}))
def many(task: Task):
    for number in range(10_000):
        goque.follow_up("after", [task.external_id, number])
"""


def followed(tree, name: str) -> list[int]:
    return sorted(
        task.payload[1]
        for task in tree.database.tasks("after")
        if task.payload != {} and task.payload[0] == name
    )


@on_every_backend
def test_each_success_leaves_its_follow_ups_once_and_no_other_attempt_does(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("after", "taken")
    names = ["fine", "crash", "timeout", "raise", "snooze", "duplicate"]
    for name in names:
        tree.database.enqueue("ends", name, payload=name)
    tree.database.enqueue("awaited", "awaited")
    tree.database.enqueue("many", "many")
    for task_type in ("ends", "awaited", "many"):
        eventually(lambda task_type=task_type: tree.database.is_settled(task_type), within=30)
    ends = {task.external_id: task for task in tree.database.tasks("ends")}
    assert {name: task.status for name, task in ends.items()} == dict.fromkeys(names, "done")
    assert {name: followed(tree, name) for name in names} == {
        name: [0 if name == "fine" else 1] for name in names
    }
    assert followed(tree, "awaited") == [0]
    assert followed(tree, "many") == list(range(10_000))
    errors = ends["duplicate"].errors or ""
    assert errors.startswith(
        "attempt 1: goque.DuplicateTaskError: a task of type 'after' with external id 'taken'"
    )
    assert "attempt 1 of 3 failed: goque.DuplicateTaskError" in tree.log


@on_every_backend
def test_a_success_that_only_the_black_box_has_leaves_its_follow_ups_after_a_restart(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("held", "free", "taken-away")
    tree.running_pid("free")
    tree.running_pid("taken-away")
    os.kill(tree.pid("fetcher"), signal.SIGSTOP)  # so that nobody writes the results
    tree.let_go("free", "taken-away")
    eventually(lambda: len([line for line in tree.journal() if line[0] == "end"]) == 2)
    tree.kill_root()
    eventually(tree.is_gone)
    start_tree()
    eventually(lambda: tree.database.is_settled("held"), within=20)
    for name in ("free", "taken-away"):
        assert tree.database.task(name, "held").attempts == 0
        assert followed(tree, name) == [0]
