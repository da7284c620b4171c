"""What asyncio tasks that handlers start may raise: the handler that started one is charged, its neighbors are not."""

from __future__ import annotations

import pytest
from tree import StartTree, eventually

APP = """
async def fail(error, after=0.2):
    await asyncio.sleep(after)
    raise error

@registry.processor("job", workers=1, concurrency=20, timeout=8, max_attempts=1, no_retry_on=KeyError)
async def job(task: Task):
    note("start", task.external_id, os.getpid())
    how = task.payload
    match how:
        case "neighbor":
            while not Path("journal", f"{task.external_id}.go").exists():
                await asyncio.sleep(0.01)
        case "exit of a task that nobody awaits":
            child = asyncio.create_task(fail(SystemExit("library gave up")))
            await asyncio.sleep(20)
        case "exit in gather":
            await asyncio.gather(fail(SystemExit("library gave up")), asyncio.sleep(20))
        case "exit in a task group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(SystemExit("library gave up")))
                group.create_task(asyncio.sleep(20))
        case "exit in a callback":
            asyncio.get_running_loop().call_later(0.1, sys.exit, "library gave up")
            await asyncio.sleep(20)
        case "interrupt":
            child = asyncio.create_task(fail(KeyboardInterrupt()))
            await asyncio.sleep(20)
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(ValueError("no such order 7")))
                group.create_task(asyncio.sleep(20))
        case "cancel in a group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(goque.TaskCanceled("the account is closed")))
                group.create_task(fail(ValueError("an error beside it")))
        case "cancel in a group in a group":
            async with asyncio.TaskGroup():
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail(goque.TaskCanceled("the account is closed")))
        case "retry in a group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(goque.RetryTask("busy", delay=600)))
        case "snooze in a group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(goque.Snooze(600)))
        case "snooze beside an error":
            raise ExceptionGroup("two", [goque.Snooze(600), ValueError("an error beside it")])
        case "child that cancels itself":
            child = asyncio.create_task(asyncio.sleep(20))
            asyncio.get_running_loop().call_later(0.1, child.cancel)
            await child
        case "cancel all":
            await asyncio.sleep(0.2)
            for other in asyncio.all_tasks():
                other.cancel()
            await asyncio.sleep(20)
        case "stop the loop":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0.1)
        case "exit after its end":
            asyncio.get_running_loop().call_later(0.3, sys.exit, "too late")
"""
CHARGED = {
    "exit of a task that nobody awaits": "SystemExit: library gave up",
    "exit in gather": "SystemExit: library gave up",
    "exit in a task group": "SystemExit: library gave up",
    "exit in a callback": "SystemExit: library gave up",
    "interrupt": "KeyboardInterrupt",
    "group": "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): ValueError: no such order 7",
    "snooze beside an error": (
        "ExceptionGroup: two (2 sub-exceptions): goque.Snooze: snoozed for 600s; ValueError: an error beside it"
    ),
    "child that cancels itself": "asyncio.exceptions.CancelledError",
    "cancel all": "asyncio.exceptions.CancelledError",
}
ENDS = {
    "cancel in a group": ("canceled", 0, "canceled: the account is closed\n"),
    "cancel in a group in a group": ("canceled", 0, "canceled: the account is closed\n"),
    "snooze in a group": ("new", 0, None),
    "stop the loop": ("done", 0, None),
    "exit after its end": ("done", 0, None),
    **{how: ("attempts_left", 1, f"attempt 1: {text}\n") for how, text in CHARGED.items()},
}


@pytest.mark.fault(54)
@pytest.mark.parametrize("how", ENDS)
def test_the_task_whose_child_raised_is_charged_and_its_neighbors_are_not(
    start_tree: StartTree, how: str
) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("job", "neighbor", payload="neighbor")
    pid = tree.running_pid("neighbor")
    tree.database.enqueue("job", "culprit", payload=how)
    status, attempts, errors = ENDS[how]
    eventually(lambda: tree.started("culprit") and tree.database.task("culprit").status == status)
    if how == "exit after its end":
        eventually(lambda: "raised SystemExit; the worker goes on" in tree.log)
    task = tree.database.task("culprit")
    assert (task.attempts, task.errors) == (attempts, errors)
    tree.let_go("neighbor")
    eventually(lambda: tree.database.task("neighbor").status == "done")
    neighbor = tree.database.task("neighbor")
    assert (neighbor.attempts, neighbor.errors) == (0, None)
    assert set(tree.workers("job")) == {pid}, "the worker has lived through it"
    assert len(tree.started("neighbor")) == (2 if how == "cancel all" else 1)


@pytest.mark.fault(54)
def test_a_retry_in_a_group_keeps_its_delay(start_tree: StartTree) -> None:
    tree = start_tree(app=APP.replace("max_attempts=1", "max_attempts=3"))
    tree.database.enqueue("job", "a", payload="retry in a group")
    eventually(lambda: tree.database.task("a").status == "error")
    task = tree.database.task("a")
    assert task.errors == "attempt 1: goque.RetryTask: busy\n"
    assert 500 < (task.next_attempt_at - task.updated_at).total_seconds() <= 601
