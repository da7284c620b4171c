"""The page of a flow, and what the other pages say of tasks that need others."""

from __future__ import annotations

import logging
import re
import threading

import pytest
from dashboards import HOSTILE, add, do, form_of, on_every_backend, publish, text_of

from goque import Flow
from goque.dashboard import flow_page, flow_reader
from goque.dashboard.flow_reader import FlowReader
from goque.errors import TaskNotFoundError
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task_rules.retry_policy import RetryPolicy

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


def video(storage, parts=3, name="holiday.mp4"):
    """Insert split, some parts, join and announce."""
    flow = Flow(name)
    split = flow.add("split", 1)
    encoded = [flow.add("encode", part, needs=[split]) for part in range(parts)]
    join = flow.add("join", 1, needs=encoded)
    flow.add("announce", 1, needs=[join])
    storage.insert_flow(flow.plan())
    return flow


def finish(storage, task_type, kind=OutcomeKind.DONE, limit=1, error="frame 7 is damaged"):
    rows = storage.claim_due(task_type, "node-1", limit)
    changes = [settle(Outcome(kind, error=error), row, RetryPolicy(max_attempts=1)) for row in rows]
    assert len(storage.settle_if_held(changes)) == limit
    return rows


def statuses(storage, flow):
    return [task.status for task in storage.flow_tasks(flow.id)]


@on_every_backend
def test_a_flow_shows_how_far_it_is_its_drawing_and_its_tasks(dashboard, storage):
    flow = video(storage)
    finish(storage, "split")
    finish(storage, "encode", OutcomeKind.FAILED)
    answer = dashboard.get(f"/flows/{flow.id.upper()}")
    assert answer.status_code == 200
    told = text_of(answer)
    for part in ("holiday.mp4", flow.id, "open", "4 of 6 tasks have ended, 1 of them failed.", "2 waiting"):
        assert part in told, part
    drawing = re.search(r'<div class="flow".*?</svg></div>', answer.text, re.DOTALL)[0]
    assert {task.id for task in flow.tasks} == set(re.findall(r'href="/tasks/([0-9a-f-]+)"', drawing))
    assert "frame 7 is damaged" in drawing
    assert "flow-failed-path" in drawing
    assert re.findall(r'<tr id="t-([^"]+)" data-row>', answer.text) == [task.id for task in flow.tasks]
    assert "/static/flow.css?" in answer.text


@pytest.mark.parametrize(
    ("kind", "state", "text"),
    [
        (OutcomeKind.DONE, "done", "All tasks are done."),
        (OutcomeKind.FAILED, "failed", "All tasks have ended, not all of them well."),
    ],
)
def test_a_flow_that_has_ended_says_so_and_is_not_canceled(dashboard, storage, kind, state, text):
    flow = video(storage, parts=1)
    finish(storage, "split", kind)
    for task_type in ("encode", "join", "announce"):
        finish(storage, task_type, limit=int(kind is OutcomeKind.DONE))
    answer = dashboard.get(f"/flows/{flow.id}")
    assert f"{state} {text}" in text_of(answer)
    assert "cancel-flow" not in answer.text


def test_an_unknown_flow_is_not_found(dashboard, storage):
    for unknown in (UNKNOWN, "x", add(storage).id, "x" * 5000):
        answer = dashboard.get(f"/flows/{unknown}")
        assert answer.status_code == 404
        assert "No such flow" in text_of(answer)
        assert dashboard.get(f"/do/cancel-flow?id={unknown}").status_code == 404
    assert "No such task" in text_of(dashboard.get(f"/tasks/{UNKNOWN}"))


@on_every_backend
def test_the_tasks_of_a_flow_are_paged_and_filtered(dashboard, storage, monkeypatch):
    monkeypatch.setattr(flow_page, "PAGE", 4)
    flow = video(storage, parts=6)
    finish(storage, "split")
    failed = finish(storage, "encode", OutcomeKind.FAILED, limit=5)
    first = dashboard.get(f"/flows/{flow.id}")
    link = re.search(r'rel="next" href="\?([^"]*)"', first.text)[1]
    rest = dashboard.get(f"/flows/{flow.id}?{link}")
    assert (first.text.count("data-row"), rest.text.count("data-row")) == (4, 4)
    assert f'id="t-{flow.tasks[4].id}"' in rest.text
    chosen = dashboard.get(f"/flows/{flow.id}?status=attempts_left")
    assert chosen.text.count("data-row") == 4
    link = re.search(r'rel="next" href="\?([^"]*)"', chosen.text)[1].replace("&amp;", "&")
    assert dashboard.get(f"/flows/{flow.id}?{link}").text.count("data-row") == len(failed) - 4
    assert 'href="?status=attempts_left&amp;status=new"' in chosen.text
    assert "No further task." in dashboard.get(f"/flows/{flow.id}?after=999").text
    assert "No task of the flow is in this status." in dashboard.get(f"/flows/{flow.id}?status=error").text


@pytest.mark.parametrize("query", ["after=x", "after=-2", "after=99999999999999", "after=²", "status=lost"])
def test_a_wrong_query_says_what_is_right(dashboard, storage, query):
    answer = dashboard.get(f"/flows/{video(storage).id}?{query}")
    assert answer.status_code == 400
    assert "is no" in text_of(answer)


@on_every_backend
def test_a_flow_is_canceled_after_it_was_asked_for_and_confirmed(dashboard, storage, caplog):
    caplog.set_level(logging.INFO, "goque.dashboard")
    logging.getLogger("goque").propagate = True
    flow = video(storage)
    finish(storage, "split")
    path = f"/do/cancel-flow?id={flow.id}"
    assert path in dashboard.get(f"/flows/{flow.id}").text
    asked = text_of(dashboard.get(path))
    assert "Cancel flow holiday.mp4?" in asked
    assert "5 of its 6 tasks have not ended" in asked
    assert set(statuses(storage, flow)) == {"done", "new", "blocked"}
    answer = do(dashboard, path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/flows/{flow.id}")
    assert statuses(storage, flow) == ["done", *["canceled"] * 5]
    told = text_of(dashboard.get(f"/flows/{flow.id}"))
    assert f"Canceled 5 tasks of flow {flow.id}." in told
    assert "All tasks have ended" in told  # no older view is shown after an action
    assert f"testclient: canceled 5 tasks of flow {flow.id}" in caplog.text
    do(dashboard, path)
    assert "had ended before" in text_of(dashboard.get(f"/flows/{flow.id}"))


def test_a_flow_is_canceled_neither_with_a_forged_form_nor_on_a_page_that_is_read_only(
    dashboard, storage, backend, open_dashboard
):
    flow = video(storage)
    path = f"/do/cancel-flow?id={flow.id}"
    forged = dashboard.post("/do/cancel-flow", data=form_of(dashboard, path) | {"csrf": "x"})
    assert forged.status_code == 400
    reader = open_dashboard(backend.url, actions=False)
    assert "cancel-flow" not in reader.get(f"/flows/{flow.id}").text
    assert reader.get(path).status_code == 403
    assert set(statuses(storage, flow)) == {"new", "blocked"}


@on_every_backend
def test_a_flow_that_waits_for_a_task_outside_of_it_names_that(dashboard, storage):
    outside = add(storage, "upload")
    flow = Flow("late")
    split = flow.add("split", needs=[outside])
    flow.add("join", needs=[split, outside])
    storage.insert_flow(flow.plan())
    answer = dashboard.get(f"/flows/{flow.id}")
    assert "Waits for tasks outside of the flow new upload" in text_of(answer).replace("waiting", "new")
    assert answer.text.count(f'href="/tasks/{outside.id}"') == 1
    finish(storage, "upload")
    dashboard.app.state.dashboard.flows.forget()
    assert "Waits for" not in text_of(dashboard.get(f"/flows/{flow.id}"))


@on_every_backend
def test_a_task_that_its_need_has_canceled_links_it_in_the_place_of_a_reset(dashboard, storage):
    flow = video(storage, parts=1)
    finish(storage, "split", OutcomeKind.FAILED)
    split, encode = flow.tasks[:2]
    page = dashboard.get(f"/tasks/{encode.id}")
    assert f"/do/reset?id={encode.id}" not in page.text
    assert "Its need split" in text_of(page)
    assert f"/do/reset?id={split.id}" in dashboard.get(f"/tasks/{split.id}").text
    storage.reset_unless_claimed(split.id)
    storage.cancel_unless_finished(encode.id)
    assert f"/do/reset?id={encode.id}" in dashboard.get(f"/tasks/{encode.id}").text


@on_every_backend
def test_a_task_of_a_flow_leads_to_it_and_to_the_tasks_around(dashboard, storage):
    publish(storage, "join")
    flow = video(storage, parts=12)
    finish(storage, "split")
    finish(storage, "encode", limit=10)
    encoded, join, announce = flow.tasks[1:-2], flow.tasks[-2], flow.tasks[-1]
    answer = dashboard.get(f"/tasks/{join.id}")
    told = text_of(answer)
    assert f'href="/flows/{flow.id}">holiday.mp4</a>' in answer.text
    assert "Needs 2 open, 10 met" in told
    assert "And 2 more." in told
    assert "Needed by 1 task blocked announce" in told
    for task in (encoded[10], announce):
        assert f'href="/tasks/{task.id}"' in answer.text
    first = f"the first of them is encode {encoded[10].id}"
    assert f"It waits for the end of 2 of the 12 tasks that it needs; {first}." in told
    assert "Not before" in told
    assert "do/reset" not in answer.text
    alone = dashboard.get(f"/tasks/{add(storage).id}").text
    assert "Needs" not in alone
    assert "/flows/" not in alone


def test_a_task_names_the_need_that_canceled_it(dashboard, storage):
    flow = video(storage)
    [row] = finish(storage, "split", OutcomeKind.FAILED)
    told = text_of(dashboard.get(f"/tasks/{flow.tasks[1].id}"))
    assert f"Canceled, because split {row.id} has not ended well" in told
    assert "will be deleted with its flow" in told
    assert "Needs 1 failed failed split" in told


@on_every_backend
def test_a_blocked_task_is_not_reset_and_the_page_says_why(dashboard, storage):
    flow = video(storage)
    answer = do(dashboard, f"/do/reset?id={flow.tasks[1].id}")
    assert answer.status_code == 400
    assert f"is blocked: it waits for the end of task {flow.tasks[0].id}" in text_of(answer)
    assert "reset" in text_of(dashboard.get("/do/reset-all?query=status%3Dblocked"))
    assert dashboard.get("/do/reset-all?query=status%3Dblocked").status_code == 400


@on_every_backend
def test_blocked_tasks_are_filtered_and_counted(dashboard, storage):
    publish(storage, "encode", "split")
    video(storage)
    add(storage)
    page = dashboard.get("/tasks?status=blocked")
    assert page.text.count("data-row") == 5
    assert 'title="waiting for the end of tasks that it needs: blocked">blocked</span>' in page.text
    assert "/do/cancel-all" in page.text
    assert "/do/reset-all" not in page.text
    assert re.search(r"Waiting 2 and 5 blocked ", text_of(dashboard.get("/")))
    types = dashboard.get("/types")
    assert "/tasks?type=encode&amp;status=blocked" in types.text
    assert re.search(r"encode \S 0 0 3 0 0 ", text_of(types))


def test_no_blocked_tasks_take_no_column(dashboard, storage):
    add(storage)
    assert "Blocked" not in dashboard.get("/types").text
    assert re.search(r"Waiting 1 oldest due for ", text_of(dashboard.get("/")))


def test_the_id_of_a_flow_in_the_search_leads_to_it(dashboard, storage):
    flow = video(storage)
    for asked, place in (
        (flow.id, f"/flows/{flow.id}"),
        (flow.tasks[0].id, f"/tasks/{flow.tasks[0].id}"),
        (UNKNOWN, f"/tasks/{UNKNOWN}"),
    ):
        assert dashboard.get(f"/tasks?external_id={asked}").headers["location"] == place


def test_hostile_names_and_types_are_only_text(dashboard, storage):
    flow = Flow(HOSTILE.replace("\u202e", ""))
    flow.add("join<script>", 1, needs=[flow.add("<img src=x>", 1)])
    storage.insert_flow(flow.plan())
    for path in (f"/flows/{flow.id}", f"/tasks/{flow.tasks[0].id}", f"/tasks/{flow.tasks[1].id}"):
        page = dashboard.get(path).text
        assert "<script>" not in page
        assert "<img" not in page
    assert "Cancel flow" in dashboard.get(f"/do/cancel-flow?id={flow.id}").text


def test_a_drawing_links_below_the_prefix_of_its_dashboard(storage):
    flow = video(storage)
    reader = FlowReader(storage)
    assert f'href="/queue/tasks/{flow.tasks[0].id}"' in reader.view(flow.id, "/queue").drawing.svg
    assert f'href="/tasks/{flow.tasks[0].id}"' in reader.view(flow.id, "").drawing.svg


@pytest.mark.parametrize("limit", ["MAX_TASKS", "MAX_NEEDS"])
def test_a_flow_that_is_too_large_to_be_drawn_is_counted_by_type(dashboard, storage, monkeypatch, limit):
    monkeypatch.setattr(flow_reader, limit, 5)
    flow = video(storage)
    finish(storage, "split")
    answer = dashboard.get(f"/flows/{flow.id}")
    assert "flow-drawing" not in answer.text
    told = text_of(answer)
    assert "the flow is too large to be drawn Type Tasks blocked waiting done encode 3 0 3 0" in told
    assert answer.text.count("data-row") == 6


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_view_is_kept_for_as_long_as_reading_took_five_times(storage, monkeypatch):
    clock, reads = Clock(), []
    flow = video(storage)
    monkeypatch.setattr(flow_reader, "MAX_KEPT", 2)
    reader = FlowReader(storage, clock)
    original = storage.flow_overview

    def slowly(flow_id):
        reads.append(flow_id)
        clock.now += 2.0
        return original(flow_id)

    monkeypatch.setattr(storage, "flow_overview", slowly)
    first = reader.view(flow.id, "")
    clock.now += 9.9
    assert reader.view(flow.id, "") is first
    clock.now += 0.2
    assert reader.view(flow.id, "") is not first
    reader.forget()
    reader.view(flow.id, "")
    assert len(reads) == 3
    with pytest.raises(TaskNotFoundError):
        reader.view(UNKNOWN, "")
    for name in ("a", "b"):
        reader.view(video(storage, name=name).id, "")
    reader.view(flow.id, "")
    assert len(reads) == 7


def test_nobody_waits_for_a_view_that_is_being_read_if_there_is_an_older_one(storage, monkeypatch):
    clock, read, go_on = Clock(), threading.Event(), threading.Event()
    flow = video(storage)
    reader = FlowReader(storage, clock)
    first = reader.view(flow.id, "")
    original = storage.flow_overview

    def wait(flow_id):
        read.set()
        assert go_on.wait(10)
        return original(flow_id)

    monkeypatch.setattr(storage, "flow_overview", wait)
    clock.now += 1000.0
    thread = threading.Thread(target=reader.view, args=(flow.id, ""))
    thread.start()
    assert read.wait(10)
    try:
        assert reader.view(flow.id, "") is first
    finally:
        go_on.set()
        thread.join(10)
    assert reader.view(flow.id, "") is not first
