"""`goque flow`, and what the other commands say of tasks that need others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from goque import Flow, Task
from goque.cli.flow import MAX_FAILED, MAX_LISTED
from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage import open_storage
from goque.task_rules.retry_policy import RetryPolicy

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


def order(goque: Any, name: str = "order 7") -> Flow:
    """Insert a flow of three tasks, each of which needs the one before."""
    flow = Flow(name)
    charge = flow.add("charge", 1)
    ship = flow.add("ship", 2, needs=[charge])
    flow.add("tell", 3, needs=[ship])
    with goque.queue as queue:
        queue.enqueue_flow(flow)
    return flow


def finish(goque: Any, task_type: str, kind: OutcomeKind = OutcomeKind.DONE, limit: int = 1) -> None:
    storage = open_storage(goque.url)
    rows = storage.claim_due(task_type, "node-1", limit)
    changes = [settle(Outcome(kind, error="no such card"), row, RetryPolicy(max_attempts=1)) for row in rows]
    assert len(storage.settle_if_held(changes)) == limit
    storage.close()


def test_a_flow_is_shown_with_its_tasks(goque: Any) -> None:
    flow = order(goque)
    finish(goque, "charge")
    lines = goque("flow", flow.id.upper()).stdout.splitlines()
    assert lines[0].split() == ["id:", flow.id]
    assert lines[1:3] == ["name:       order 7", "status:     open"]
    assert lines[4] == "tasks:      3: 1 blocked, 1 waiting, 1 done"
    assert [line.split() for line in lines[6:]] == [
        ["ID", "TYPE", "STATUS", "NEEDS", "LAST_ERROR"],
        [flow.tasks[0].id, "charge", "done", "0", "-"],
        [flow.tasks[1].id, "ship", "waiting", "1", "-"],
        [flow.tasks[2].id, "tell", "blocked", "1", "-"],
    ]


def test_the_json_of_a_flow_has_every_task_and_what_it_needs(goque: Any) -> None:
    flow = order(goque)
    finish(goque, "charge", OutcomeKind.FAILED)
    charge, ship, tell = (task.id for task in flow.tasks)
    [seen] = goque.json_lines("flow", flow.id, "--json")
    assert seen.pop("created_at").endswith("Z")
    assert seen == {
        "id": flow.id,
        "name": "order 7",
        "status": "failed",
        "counts": {"attempts_left": 1, "canceled": 2},
        "tasks": [
            {"id": charge, "type": "charge", "status": "attempts_left", "needs": []},
            {"id": ship, "type": "ship", "status": "canceled", "needs": [charge]},
            {"id": tell, "type": "tell", "status": "canceled", "needs": [ship]},
        ],
    }


def test_a_large_flow_is_counted_and_its_failed_tasks_are_listed(goque: Any) -> None:
    flow = Flow("all of them")
    for number in range(MAX_LISTED + 1):
        flow.add("charge", number)
    with goque.queue as queue:
        queue.enqueue_flow(flow)
    finish(goque, "charge", OutcomeKind.FAILED, limit=2)
    text = goque("flow", flow.id).stdout
    assert "\ncharge  99       2\n" in text
    assert "The tasks that failed:" in text
    assert text.count("no such card") == 2
    finish(goque, "charge", OutcomeKind.FAILED, limit=MAX_FAILED)
    text = goque("flow", flow.id).stdout
    assert "The first tasks that failed:" in text
    assert text.count("no such card") == MAX_FAILED
    assert len(goque.json_lines("flow", flow.id, "--json")[0]["tasks"]) == MAX_LISTED + 1


@pytest.mark.parametrize("flow_id", ["x", "", "'; DROP TABLE goque_flow; --", UNKNOWN])
def test_an_unknown_flow_is_one_line_and_exit_code_1(goque: Any, flow_id: str) -> None:
    order(goque)
    for options in ([], ["--json"]):
        done = goque("flow", flow_id, *options, code=1)
        assert done.stdout == ""
        assert done.stderr == f"goque: no flow has the id {flow_id.lower()!r}\n"


def test_the_id_of_a_task_leads_to_its_flow(goque: Any) -> None:
    flow = order(goque)
    done = goque("flow", flow.tasks[2].id, code=1)
    assert f"this is the id of a task, and its flow is {flow.id}" in done.stderr


def test_hostile_names_are_printed_inert(goque: Any) -> None:
    flow = order(goque)
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute("UPDATE goque_flow SET name = ?", ["\x1b[2Jowned\u202e"])
    assert "\x1b" not in goque("flow", flow.id).stdout
    assert "\x1b" not in goque("flow", flow.id, "--json").stdout
    assert "\x1b" not in goque("show", flow.tasks[0].id).stdout


def test_show_names_the_flow_the_needs_the_dependents_and_why_a_task_is_blocked(goque: Any) -> None:
    flow = order(goque)
    charge, ship, tell = (task.id for task in flow.tasks)
    text = goque("show", ship).stdout
    assert "\nflags:           7 (needs others, is needed, in a flow)\n" in text
    assert f"\nflow: {flow.id} order 7\n" in text
    assert f"\nneeds: 1 open\n  {charge}  waiting   charge\n" in text
    assert f"\nneeded by: 1\n  {tell}  blocked   tell\n" in text
    assert f"next:   it waits for the end of charge {charge}\n" in text
    finish(goque, "charge", OutcomeKind.FAILED)
    text = goque("show", ship).stdout
    assert f"\nneeds: 1 failed\n  {charge}  failed    charge\n" in text
    assert (
        f"canceled, because charge {charge} has not ended well; `goque reset {charge}` lets both run" in text
    )


def test_show_json_has_the_flow_and_the_tasks_around(goque: Any) -> None:
    flow = order(goque)
    charge, ship, tell = (task.id for task in flow.tasks)
    [seen] = goque.json_lines("show", ship, "--json")
    assert seen["flow"] == {"id": flow.id, "name": "order 7"}
    assert seen["needs"] == [
        {"id": charge, "type": "charge", "status": "new", "when": "done", "state": "open"}
    ]
    assert seen["need_counts"] == {"open": 1, "met": 0, "failed": 0}
    assert [one["id"] for one in seen["dependents"]] == [tell]
    assert seen["dependent_count"] == 1


def test_show_json_of_a_task_alone_has_the_same_keys(goque: Any, task: Any) -> None:
    [seen] = goque.json_lines("show", task.id, "--json")
    assert (seen["flow"], seen["needs"], seen["dependents"], seen["dependent_count"]) == (None, [], [], 0)
    assert "\nneed" not in goque("show", task.id).stdout


def test_many_needs_are_cut(goque: Any) -> None:
    flow = Flow("fan")
    parts = [flow.add("part", number) for number in range(12)]
    join = flow.add("join", 0, needs=parts, when="ended")
    with goque.queue as queue:
        queue.enqueue_flow(flow)
    text = goque("show", join.id).stdout
    assert "\nneeds: 12 open\n" in text
    assert text.count("part (however it ends)\n") == 10
    assert "\n  and 2 more\n" in text


def test_blocked_tasks_are_listed_and_are_not_due(goque: Any) -> None:
    flow = order(goque)
    rows = goque.json_lines("list", "--status", "blocked", "--json")
    assert {row["id"] for row in rows} == {task.id for task in flow.tasks[1:]}
    _header, *lines = goque("list", "--status", "blocked").stdout.splitlines()
    assert [line.split()[1:6] for line in lines] == [
        ["tell", "blocked", "0", "0", "-"],
        ["ship", "blocked", "0", "0", "-"],
    ]
    seen = goque.in_terminal("list", "--status", "blocked").screen.splitlines()
    assert [line.split()[1:] for line in seen[1:]] == [["tell", "blocked"], ["ship", "blocked"]]


def test_a_blocked_task_is_canceled_with_those_that_need_it_and_not_reset(goque: Any) -> None:
    flow = order(goque)
    charge, ship, tell = (task.id for task in flow.tasks)
    refused = goque("reset", ship, code=1)
    assert refused.stderr == f"goque: task {ship} is blocked: it waits for the end of task {charge}\n"
    assert goque("cancel", ship).stdout == f"{ship} canceled\n"
    assert {row["id"] for row in goque.json_lines("list", "--status", "canceled", "--json")} == {ship, tell}
    assert goque("cancel", "--status", "blocked").stdout == "canceled 0 tasks\n"


@pytest.mark.parametrize("is_older", [True, False], ids=["in-their-order", "built-the-other-way-round"])
def test_a_bulk_reset_takes_a_chain_of_canceled_tasks_at_once(goque: Any, *, is_older: bool) -> None:
    tasks = [Task("link", n) for n in range(5)]
    chain = tasks if is_older else tasks[::-1]
    flow = Flow("chain")
    for number, task in enumerate(chain):
        flow.add(task, needs=chain[number - 1 : number] if number else [])
    with goque.queue as queue:
        queue.enqueue_flow(flow)
        queue.cancel_task(chain[0].id)
    done = goque("reset", "--status", "canceled")
    assert (done.stdout, done.stderr) == ("reset 5 tasks\n", "")
    with goque.queue as queue:
        assert [task.status for task in queue.get_flow(flow).tasks] == ["new"] + ["blocked"] * 4


def test_a_bulk_reset_without_the_task_at_the_root_names_it(goque: Any) -> None:
    flow = order(goque)
    finish(goque, "charge", OutcomeKind.FAILED)
    done = goque("reset", "--status", "canceled", code=1)
    assert done.stdout == "reset 0 tasks\n"
    assert done.stderr.count(f"needs task {flow.tasks[0].id}, which failed or was canceled") == 2
    assert goque("reset", "--status", "canceled,failed").stdout == "reset 3 tasks\n"


@pytest.mark.parametrize("command", ["show", "cancel", "reset", "delete"])
def test_the_id_of_a_flow_in_the_place_of_a_task_is_named_as_such(goque: Any, command: str) -> None:
    flow = order(goque)
    assert goque(command, flow.id, code=1).stderr == (
        f"goque: no task has the id '{flow.id}'; it is the id of flow 'order 7'; "
        f"`goque flow {flow.id}` shows its tasks with their ids\n"
    )


def test_a_task_that_open_tasks_need_is_not_deleted(goque: Any) -> None:
    flow = order(goque)
    finish(goque, "charge")
    charge, ship, tell = (task.id for task in flow.tasks)
    told = goque("delete", charge, code=1).stderr
    assert told == (
        f"goque: unfinished tasks need task {charge}; `goque show {charge}` lists them; "
        "delete it when they have ended\n"
    )
    left = goque("delete", "--status", "done")
    assert left.stdout == "deleted 0 tasks\n"
    assert left.stderr == "goque: left 1 task that unfinished tasks need\n"
    goque("cancel", tell)
    finish(goque, "ship")
    done = goque("delete", "--status", "done,canceled")
    assert (done.stdout, done.stderr) == ("deleted 3 tasks\n", "")
    assert goque("delete", ship, code=1).stderr.startswith(f"goque: no task has the id '{ship}'")
