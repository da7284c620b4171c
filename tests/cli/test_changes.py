"""`goque cancel`, `reset` and `delete`: single tasks, and all of a status and a type."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from goque import Task
from goque.storage import open_storage


def statuses(goque: Any) -> list[str]:
    return sorted(row["status"] for row in goque.json_lines("list", "--json", "--limit", "5000"))


def test_all_waiting_tasks_of_a_type_are_canceled(goque: Any) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("a") for _ in range(1203)] + [Task("b")])
    assert goque("cancel", "--status", "waiting", "--type", "a").stdout == "canceled 1203 tasks\n"
    assert statuses(goque) == ["canceled"] * 1203 + ["new"]
    assert goque("cancel", "--status", "new,running").stdout == "canceled 1 task\n"
    assert goque("cancel", "--status", "waiting").stdout == "canceled 0 tasks\n"


def test_running_tasks_are_canceled_by_their_status(goque: Any) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("a"), Task("a")])
    with closing(open_storage(goque.url)) as storage:
        row, _other = storage.claim_due("a", "node-1", 2)
        storage.mark_processing([row.token])
    assert goque("cancel", "--status", "running").stdout == "canceled 1 task\n"
    assert statuses(goque) == ["canceled", "pending"]
    assert goque("cancel", "--status", "claimed", "--status", "running").stdout == "canceled 1 task\n"


def test_a_finished_task_is_deleted(goque: Any, task: Task) -> None:
    goque("cancel", task.id)
    assert goque("delete", task.id.upper()).stdout == f"{task.id} deleted\n"
    assert statuses(goque) == []
    assert goque("delete", task.id, code=1).stderr == f"goque: no task has the id '{task.id}'\n"


def test_what_has_not_ended_is_not_deleted_and_the_rest_is(goque: Any, task: Task) -> None:
    with goque.queue as queue:
        ended = queue.enqueue("t")
        queue.cancel_task(ended.id)
    done = goque("delete", task.id, ended.id, code=1)
    assert done.stdout == f"{ended.id} deleted\n"
    assert done.stderr == f"goque: task {task.id} is waiting (new); cancel it first\n"
    with closing(open_storage(goque.url)) as storage:
        storage.claim_due(task.type, "node-1", 1)
    goque("cancel", task.id)
    error = goque("delete", task.id, code=1).stderr
    assert (
        error
        == f"goque: the handler of task {task.id} is being stopped; delete the task when it has stopped\n"
    )
    assert goque("delete", "--status", "canceled").stdout == "deleted 0 tasks\n"
    assert statuses(goque) == ["canceled"]


def test_all_finished_tasks_of_a_type_are_deleted(goque: Any) -> None:
    with goque.queue as queue:
        for one in queue.add_tasks([Task("a") for _ in range(7)] + [Task("b") for _ in range(3)]):
            queue.cancel_task(one.id)
        queue.enqueue("a")
    assert goque("delete", "--status", "failed,canceled", "--type", "a").stdout == "deleted 7 tasks\n"
    assert goque("delete", "--status", "done").stdout == "deleted 0 tasks\n"
    assert goque("delete", "--status", "canceled").stdout == "deleted 3 tasks\n"
    assert statuses(goque) == ["new"]


def test_reset_takes_the_words_and_several_statuses(goque: Any) -> None:
    with goque.queue as queue:
        for one in queue.add_tasks([Task("a") for _ in range(3)]):
            queue.cancel_task(one.id)
    assert goque("reset", "--status", "failed").stdout == "reset 0 tasks\n"
    assert goque("reset", "--status", "failed", "--status", "canceled").stdout == "reset 3 tasks\n"
    assert statuses(goque) == ["new"] * 3


@pytest.mark.parametrize("command", ["cancel", "reset", "delete"])
def test_what_is_no_id_is_answered_with_where_the_ids_are(goque: Any, task: Task, command: str) -> None:
    error = goque(command, task.external_id, code=1).stderr
    assert error == (
        "goque: no task has the id 'order-7'; `goque list --external-id` shows the id of a task\n"
    )


@pytest.mark.parametrize("command", ["cancel", "reset", "delete"])
def test_a_misused_choice_is_refused(goque: Any, command: str) -> None:
    assert "give IDs, or --status" in goque(command, code=2).stderr
    assert "--type restricts --status" in goque(command, "x", "--type", "t", code=2).stderr
