"""What surrounds an enqueue surrounds its handler, its hooks and its log lines; hooks hear how both kinds ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tree import StartTree, Tree, eventually

import goque

APP = """
import contextvars, logging
log = logging.getLogger("goque.shop")

def after(task, error):
    note("after", task.external_id, type(error).__name__, goque.value_by_key("tenant"))

options = dict(workers=1, max_attempts=1, timeout=0.3, timeout_grace=5, fetch_tick=0.1, hooks_after=after)

@registry.processor("plain", **options)
def plain(task: Task):
    log.info("plain says")
    seen = []
    with goque.with_value("step", 2):
        threading.Thread(target=lambda: seen.append(goque.values())).start()
        copied = contextvars.copy_context()
        threading.Thread(target=lambda: copied.run(lambda: seen.append(goque.value_by_key("tenant")))).start()
        while len(seen) < 2:
            time.sleep(0.001)
        note("values", goque.value_by_key("step"), {} in seen, "acme" in seen)
    note("inner block ended", "step" in goque.values())

@registry.processor("coroutine", concurrency=10, **options)
async def coroutine(task: Task):
    log.info("coroutine says")
    async def inner(n):
        with goque.with_value("step", n):
            await asyncio.sleep(0.01)
            return goque.value_by_key("step"), goque.value_by_key("tenant")
    tenant = goque.value_by_key("tenant")
    assert await asyncio.gather(inner(1), inner(2)) == [(1, tenant), (2, tenant)]
    note("inner block ended", "step" in goque.values())

def outlast():
    with goque.with_value("cleaning", "up"):
        time.sleep(100)

@registry.processor("ends", **options)
def ends(task: Task):
    note("runs", task.external_id)
    match task.payload:
        case "sleep": outlast()
        case "swallow":
            try: time.sleep(100)
            except BaseException: pass
        case "raise": raise ValueError("no")

@registry.processor("aends", concurrency=10, **options)
async def aends(task: Task):
    note("runs", task.external_id)
    match task.payload:
        case "sleep": await asyncio.sleep(100)
        case "swallow":
            try: await asyncio.sleep(100)
            except BaseException: pass
        case "raise": raise ValueError("no")

@registry.processor("long", **(options | {"timeout": 60}))
def long(task: Task):
    note("runs", task.external_id)
    time.sleep(100)

@registry.processor("along", **(options | {"timeout": 60}))
async def along(task: Task):
    note("runs", task.external_id)
    await asyncio.sleep(100)
"""


def lines_of(tree: Tree, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in tree.log.splitlines() if line.startswith("{")]
    return [line for line in lines if event in line["event"]]


@pytest.mark.parametrize("task_type", ["plain", "coroutine"])
def test_values_are_in_the_handlers_blocks_threads_tasks_and_log_lines(
    start_tree: StartTree, task_type: str
) -> None:
    tree = start_tree("--types", task_type, "--log-format", "json", app=APP)
    for tenant in ("acme", "umbrella") if task_type == "coroutine" else ("acme",):
        with goque.with_values({"tenant": tenant, "user": {"id": 7}}):
            tree.database.enqueue(task_type, f"for-{tenant}")
    eventually(tree.database.is_settled)
    assert {task.status for task in tree.database.tasks()} == {"done"}
    assert ["inner", "block", "ended", "False"] in tree.journal()
    if task_type == "plain":
        assert ["values", "2", "True", "True"] in tree.journal()
    eventually(lambda: len(lines_of(tree, f"{task_type} says")) == len(tree.database.tasks()))
    for line in lines_of(tree, f"{task_type} says"):
        task = tree.database.queue.get_task(line["task_id"])
        assert line["values"] == {"tenant": task.metadata["tenant"], "user": {"id": 7}}


@pytest.mark.parametrize("task_type", ["ends", "aends"])
def test_hooks_hear_of_the_same_end_from_both_kinds_and_the_log_names_whose_task_it_was(
    start_tree: StartTree, task_type: str
) -> None:
    tree = start_tree("--types", task_type, "--log-format", "json", app=APP)
    for how in ("sleep", "swallow", "raise"):
        with goque.with_value("tenant", how):
            tree.database.enqueue(task_type, how, payload=how)
    eventually(tree.database.is_settled)
    heard = {line[1]: line[2:] for line in tree.journal() if line[0] == "after"}
    assert heard == {
        "sleep": ["TaskTimeout", "sleep"],
        "swallow": ["TaskTimeout", "swallow"],
        "raise": ["ValueError", "raise"],
    }
    for how in ("sleep", "swallow"):
        assert tree.database.task(how).errors == "attempt 1: task processing timeout: 0.3s\n"
    eventually(lambda: len(lines_of(tree, "attempt 1 of 1 failed")) == 3)
    assert {line["values"]["tenant"] for line in lines_of(tree, "failed")} == set(heard)


@pytest.mark.parametrize("task_type", ["long", "along"])
def test_hooks_hear_of_a_cancel(start_tree: StartTree, task_type: str) -> None:
    tree = start_tree("--types", task_type, app=APP)
    [task] = tree.database.enqueue(task_type, "victim")
    eventually(lambda: ["runs", "victim"] in tree.journal())
    tree.database.queue.cancel_task(task.id)
    eventually(lambda: ["after", "victim", "TaskCanceled", "None"] in tree.journal())
    eventually(lambda: tree.database.task("victim").claimed_by is None)
