"""What people may do: asked for once more, not to be forged by other sites, written into the log, and never twice."""

from __future__ import annotations

import logging

import pytest
from dashboards import add, do, form_of, on_every_backend, publish, settle, status_of, text_of
from eventually import eventually

from goque import Flow, Registry, Task, TaskQueueManager, TaskStatus, cron_job
from goque.dashboard import bulk as bulk_moves
from goque.errors import DatabaseUnavailableError
from goque.storage.search_types import TaskSearch

NOBODY = "00000000-0000-7000-8000-000000000000"


@on_every_backend
def test_a_task_is_canceled_after_it_was_asked_for_and_confirmed(dashboard, storage, caplog):
    caplog.set_level(logging.INFO, "goque.dashboard")
    logging.getLogger("goque").propagate = True
    task = add(storage)
    asked = dashboard.get(f"/do/cancel?id={task.id}")
    assert "Cancel this task?" in asked.text
    assert status_of(storage, task) == "new"
    answer = do(dashboard, f"/do/cancel?id={task.id}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{task.id}")
    assert status_of(storage, task) == "canceled"
    assert f"Canceled task {task.id}." in text_of(dashboard.get(f"/tasks/{task.id}"))
    assert f"Canceled task {task.id}." not in text_of(dashboard.get(f"/tasks/{task.id}"))
    assert f"testclient: canceled task {task.id}" in caplog.text
    again = do(dashboard, f"/do/cancel?id={task.id}")
    assert again.status_code == 303
    assert "had ended before" in text_of(dashboard.get(f"/tasks/{task.id}"))


@on_every_backend
def test_a_failed_task_is_reset(dashboard, storage):
    add(storage)
    row = settle(storage, TaskStatus.ATTEMPTS_LEFT, error="boom")
    assert do(dashboard, f"/do/reset?id={row.id}").status_code == 303
    assert status_of(storage, row) == "new"
    assert storage.get_task(row.id).attempts == 0


def test_a_task_that_somebody_holds_is_not_reset(dashboard, storage):
    task = add(storage)
    storage.claim_due("mail", "node-1", 1)
    answer = do(dashboard, f"/do/reset?id={task.id}")
    assert answer.status_code == 400
    assert "reset it when it has ended" in text_of(answer)


@on_every_backend
def test_a_type_is_paused_and_resumed(dashboard, storage):
    publish(storage, "mail & more")
    assert do(dashboard, "/do/pause?type=mail+%26+more").headers["location"] == "/types"
    assert storage.type_policies()["mail & more"].paused
    assert "paused" in text_of(dashboard.get("/types"))
    do(dashboard, "/do/resume?type=mail+%26+more")
    assert not storage.type_policies()["mail & more"].paused
    unknown = do(dashboard, "/do/pause?type=mial")
    assert unknown.status_code == 400
    assert "no supervisor has run tasks of type" in text_of(unknown)


@on_every_backend
def test_all_that_match_are_reset_and_no_others(dashboard, storage):
    for number in range(7):
        add(storage, external_id=f"order-{number}")
        settle(storage, TaskStatus.ATTEMPTS_LEFT, error="refused" if number % 2 else "no such user")
    other = add(storage)
    path = "/do/reset-all?query=status%3Dattempts_left%26error%3Drefused"
    assert "3 tasks: all that are failed (attempts_left), with “refused” in their errors." in text_of(
        dashboard.get(path)
    )
    answer = do(dashboard, path)
    assert answer.headers["location"] == "/tasks?error=refused&status=attempts_left"
    eventually(lambda: "3 moved : finished" in text_of(dashboard.get("/tasks")).replace("moved:", "moved :"))
    counts = {(one.status, one.count) for one in storage.count_tasks()}
    assert counts == {("attempts_left", 4), ("new", 4)}
    assert status_of(storage, other) == "new"


@on_every_backend
def test_a_chain_of_canceled_tasks_is_reset_at_once(dashboard, storage):
    flow = Flow("chain")
    need = flow.add("link")
    for _ in range(3):
        need = flow.add("link", needs=[need])
    TaskQueueManager(storage).enqueue_flow(flow)
    storage.cancel_unless_finished(flow.tasks[0].id)
    do(dashboard, "/do/reset-all?query=status%3Dcanceled")
    eventually(lambda: "4 moved : finished" in text_of(dashboard.get("/tasks")).replace("moved:", "moved :"))
    assert [status_of(storage, task) for task in flow.tasks] == ["new"] + ["blocked"] * 3


def test_all_that_match_are_canceled(dashboard, storage):
    tasks = [add(storage, task_type) for task_type in ("mail", "mail", "sms")]
    do(dashboard, "/do/cancel-all?query=type%3Dmail%26status%3Dnew")
    eventually(lambda: status_of(storage, tasks[0]) == status_of(storage, tasks[1]) == "canceled")
    assert status_of(storage, tasks[2]) == "new"


def test_a_move_of_many_outlives_a_database_that_is_away_and_can_be_stopped(storage, monkeypatch):
    monkeypatch.setattr(bulk_moves, "PAUSE", 0.0)
    tasks = [add(storage) for _ in range(3)]
    calls: list[str] = []

    def move(task_id: str) -> bool:
        calls.append(task_id)
        if len(calls) == 1:
            raise DatabaseUnavailableError("away")
        return storage.cancel_unless_finished(task_id)

    bulk = bulk_moves.Bulk()
    bulk.start("cancel all", storage, TaskSearch(statuses=(TaskStatus.NEW,)), move, "ada")
    eventually(lambda: bulk.progress().is_over)
    assert (bulk.progress().moved, bulk.progress().trouble) == (3, None)
    assert {status_of(storage, task) for task in tasks} == {"canceled"}
    for _ in range(3):
        add(storage)

    def stop_after_one(task_id: str) -> bool:
        bulk.stop()
        return storage.cancel_unless_finished(task_id)

    bulk.start("cancel all", storage, TaskSearch(statuses=(TaskStatus.NEW,)), stop_after_one, "ada")
    eventually(lambda: bulk.progress().is_over)
    assert (bulk.progress().moved, bulk.progress().trouble) == (1, "somebody stopped it")


@on_every_backend
def test_a_periodic_job_is_run_now_and_paused(storage, backend, open_dashboard):
    registry = Registry()
    registry.add_processor("report", lambda task: None, priority=7)
    registry.add_periodic_job(cron_job("night & day", "0 3 * * *", lambda: Task("report")))
    client = open_dashboard(registry, database_url=backend.url, actions=True)
    assert do(client, "/do/run-job?name=night+%26+day").headers["location"] == "/jobs"
    [line] = storage.search_tasks(TaskSearch()).lines
    assert line.external_id.startswith("night & day:run:")
    assert line.priority == 7
    do(client, "/do/pause-job?name=night+%26+day")
    assert storage.paused_jobs() == {"night & day"}
    assert "none while it is paused" in client.get("/jobs").text
    do(client, "/do/resume-job?name=night+%26+day")
    assert storage.paused_jobs() == frozenset()
    wrong = client.get("/do/run-job?name=nigth")
    assert (wrong.status_code, "no periodic job is called" in text_of(wrong)) == (400, True)


def test_a_factory_that_fails_is_told(storage, backend, open_dashboard):
    registry = Registry()
    registry.add_periodic_job(cron_job("nightly", "0 3 * * *", lambda: 1 / 0))
    client = open_dashboard(registry, database_url=backend.url, actions=True)
    answer = do(client, "/do/run-job?name=nightly")
    assert answer.status_code == 400
    assert "its factory raised ZeroDivisionError" in text_of(answer)


def test_a_form_of_another_site_changes_nothing(dashboard, storage):
    task = add(storage)
    path = f"/do/cancel?id={task.id}"
    fields = form_of(dashboard, path)
    target = "/do/cancel"
    forged = [
        {"data": {"id": task.id}},
        {"data": fields | {"csrf": ""}},
        {"data": fields | {"csrf": "x" * 43}},
        {"data": fields, "headers": {"sec-fetch-site": "cross-site"}},
        {"data": fields, "headers": {"sec-fetch-site": "same-site"}},
        {"data": fields, "headers": {"origin": "https://evil.example"}},
        {"data": fields, "headers": {"origin": "null"}},
        {"json": fields},
        {"content": b"\xff\xfe", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"content": b"a=" + b"x" * 70_000, "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ]
    for request in forged:
        assert dashboard.post(target, **request).status_code == 400, request
    assert dashboard.get(f"{target}?id={task.id}&csrf={fields['csrf']}").status_code == 200
    dashboard.cookies.clear()
    assert dashboard.post(target, data=fields).status_code == 400
    assert status_of(storage, task) == "new"


def test_who_may_not_act_cannot(storage, backend, open_dashboard):
    task = add(storage)
    client = open_dashboard(backend.url)
    assert "read-only" in client.get("/").text
    assert "/do/" not in client.get(f"/tasks/{task.id}").text
    assert client.get(f"/do/cancel?id={task.id}").status_code == 403
    assert client.post("/do/cancel", data={"id": task.id}).status_code == 403
    assert status_of(storage, task) == "new"


@pytest.mark.parametrize("path", [f"/do/cancel?id={NOBODY}", "/do/reset?id=7", "/do/cancel"])
def test_an_action_on_nothing_is_told(dashboard, path):
    assert dashboard.get(path).status_code == 404
