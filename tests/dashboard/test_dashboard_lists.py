"""The list of tasks and the search box: counts, previews, orders, types by a part, ticks, and a list that stays."""

from __future__ import annotations

import re

import pytest
from dashboards import HOSTILE, add, do, form_of, on_every_backend, publish, settle, status_of, text_of

from goque import Flow, TaskQueueManager, TaskStatus
from goque.dashboard.queries import id_after
from goque.identifiers import external_id_of

NOBODY = "00000000-0000-7000-8000-000000000000"


def listed(answer):
    """Return the ids of the tasks of a page, in their order."""
    return re.findall(r'<tr id="t-([0-9a-f-]{36})"', answer.text)


def live_path(answer):
    """Return the path by which a page keeps itself up to date."""
    found = re.search(r'hx-get="([^"]+)"', answer.text)
    assert found
    return found[1].replace("&amp;", "&")


@on_every_backend
def test_statuses_have_their_counts_and_tasks_the_beginnings_of_their_payloads(dashboard, storage):
    add(storage, payload={"to": "ada@example.com"})
    add(storage, "sms", payload={"number": "+420"})
    settle(storage, TaskStatus.ATTEMPTS_LEFT, error="boom", task_type="sms")
    answer = dashboard.get("/tasks")
    told = text_of(answer)
    assert re.search(r"waiting new 1 .* done 0 .* failed attempts_left 1 ", told)
    assert re.search(r"to&#34;: ?&#34;ada@example\.com", answer.text)
    assert re.search(r"number.*\+420.* attempt 1: boom", told)
    assert re.search(r"waiting new 0 .* failed attempts_left 1 ", text_of(dashboard.get("/tasks?type=sms")))


def test_counts_are_left_out_where_other_filters_would_make_them_wrong(dashboard, storage):
    add(storage)
    assert "waiting new 1 " in text_of(dashboard.get("/tasks?type=mail&status=done"))
    assert "waiting new waiting error claimed" in text_of(dashboard.get("/tasks?error=boom"))


def test_a_large_payload_has_no_preview(dashboard, storage):
    add(storage, payload=["x" * 20_000])
    assert "a large payload" in text_of(dashboard.get("/tasks"))


@on_every_backend
def test_tasks_come_oldest_first_if_somebody_wants_it(dashboard, storage):
    tasks = [add(storage) for _ in range(52)]
    first = dashboard.get("/tasks?sort=oldest")
    assert listed(first) == [task.id for task in tasks[:50]]
    more = re.search(r'rel="next" href="\?([^"]+)">Newer', first.text)
    assert more
    assert listed(dashboard.get(f"/tasks?{more[1].replace('&amp;', '&')}")) == [tasks[50].id, tasks[51].id]
    refused = dashboard.get("/tasks?sort=payload")
    assert refused.status_code == 400
    assert "is no order" in text_of(refused)


@on_every_backend
def test_a_type_is_found_by_a_part_of_its_name(dashboard, storage):
    mail, mailer, sms = add(storage, "mail"), add(storage, "News.Mailer"), add(storage, "sms")
    assert set(listed(dashboard.get("/tasks?type=MAIL"))) == {mail.id, mailer.id}
    assert listed(dashboard.get("/tasks?type=mail")) == [mail.id]
    told = text_of(dashboard.get("/tasks?type=ail"))
    assert "No type is called “ail”. These are the types with it in their names: News.Mailer , mail ." in told
    assert listed(dashboard.get("/tasks?type=nothing")) == []
    assert sms.id in listed(dashboard.get("/tasks?type=s"))


def test_an_action_on_types_found_by_a_part_changes_those_types_only(dashboard, storage):
    mail, mailer = add(storage, "mail"), add(storage, "mailer")
    page = dashboard.get("/tasks?type=ail&status=new").text
    path = re.search(r'href="(/do/cancel-all[^"]+)"', page)
    assert path
    asked = path[1].replace("&amp;", "&")
    assert "of the types mail, mailer." in text_of(dashboard.get(asked))
    late = add(storage, "mailbox")
    fields = form_of(dashboard, asked)
    fields["query"] = fields["query"].replace("&amp;", "&")
    answer = dashboard.post("/do/cancel-all", data=fields)
    assert answer.headers["location"] == "/tasks?types=mail&types=mailer&status=new"
    dashboard.app.state.dashboard.bulk._thread.join()  # type: ignore[attr-defined]
    assert [status_of(storage, one) for one in (mail, mailer, late)] == ["canceled", "canceled", "new"]
    assert "Tasks of these types only: mail , mailer ." in text_of(dashboard.get(answer.headers["location"]))


@on_every_backend
def test_new_tasks_are_counted_beside_the_list_and_do_not_move_it(dashboard, storage):
    tasks = [add(storage) for _ in range(3)]
    first = dashboard.get("/tasks?type=mail")
    assert "newer" not in text_of(first)
    path = live_path(first)
    assert path == f"/tasks?type=mail&top={tasks[-1].id}"
    add(storage, "sms")
    assert "newer" not in text_of(dashboard.get(path))
    add(storage)
    again = dashboard.get(path)
    assert listed(again) == listed(first)
    assert "1 newer task " in text_of(again)
    assert live_path(again) == path
    for _ in range(60):
        add(storage)
    assert "50+ newer tasks " in text_of(dashboard.get(path))
    assert 'class="newer" href="?type=mail"' in dashboard.get(path).text


def test_a_later_page_and_the_oldest_first_keep_their_place_by_themselves(dashboard, storage):
    tasks = [add(storage) for _ in range(3)]
    assert live_path(dashboard.get(f"/tasks?before={tasks[1].id}")) == f"/tasks?before={tasks[1].id}"
    assert live_path(dashboard.get("/tasks?sort=oldest")) == "/tasks?sort=oldest"
    assert live_path(dashboard.get("/tasks?type=none")) == "/tasks?type=none"
    assert dashboard.get("/tasks?top=x").status_code == 400


@on_every_backend
def test_ticked_tasks_are_reset_and_no_others(dashboard, storage):
    for _ in range(3):
        add(storage)
    rows = [settle(storage, TaskStatus.ATTEMPTS_LEFT, error="boom") for _ in range(3)]
    running = add(storage, "sms")
    storage.claim_due("sms", "node-1", 1)
    path = f"/do/reset-some?id={rows[0].id}&id={rows[2].id}&id={running.id}&query=status%3Dattempts_left"
    assert "Reset these 3 tasks?" in text_of(dashboard.get(path))
    answer = do(dashboard, path)
    assert answer.headers["location"] == "/tasks?status=attempts_left"
    assert "Reset 2 tasks; 1 stayed as it was." in text_of(dashboard.get("/tasks"))
    assert [status_of(storage, one) for one in (*rows, running)] == ["new", "attempts_left", "new", "pending"]


@on_every_backend
def test_ticked_tasks_are_canceled(dashboard, storage):
    tasks = [add(storage) for _ in range(3)]
    do(dashboard, f"/do/cancel-some?id={tasks[0].id}&id={tasks[1].id}&id={NOBODY}")
    assert "Canceled 2 tasks; 1 stayed as it was." in text_of(dashboard.get("/tasks"))
    assert [status_of(storage, task) for task in tasks] == ["canceled", "canceled", "new"]


@pytest.mark.parametrize("ids", ["", "id=x", "id=1;drop", "&".join(["id=" + NOBODY, "id=nobody"])])
def test_ticks_that_are_none_are_refused(dashboard, storage, ids):
    assert storage is not None
    answer = dashboard.get(f"/do/reset-some?{ids}")
    assert answer.status_code == 400
    assert "tick" in text_of(answer)


def test_who_may_not_act_has_no_ticks(storage, backend, open_dashboard):
    task = add(storage)
    answer = open_dashboard(backend.url).get("/tasks")
    assert listed(answer) == [task.id]
    assert 'type="checkbox"' not in answer.text


@on_every_backend
def test_a_copy_of_a_task_runs_beside_it(dashboard, storage):
    publish(storage, "mail")
    add(
        storage,
        payload={"to": "ada"},
        external_id="order-7",
        metadata={"tenant": "acme"},
        priority=5,
        limit_key="a",
    )
    row = settle(storage, TaskStatus.DONE)
    answer = do(dashboard, f"/do/copy?id={row.id}")
    made = storage.get_task(answer.headers["location"].removeprefix("/tasks/"))
    assert (made.type, made.payload, made.metadata) == (row.type, row.payload, row.metadata)
    assert (made.status, made.priority, made.limit_key, made.unique_key) == ("new", 5, "a", None)
    assert made.external_id.startswith("internal-")
    assert status_of(storage, row) == "done"
    assert f"a copy of task {row.id}" in text_of(dashboard.get(answer.headers["location"]))


def test_a_copy_names_its_function(dashboard, storage):
    task = add(storage, "django.default", external_id=external_id_of("shop.tasks.add"))
    answer = do(dashboard, f"/do/copy?id={task.id}")
    made = storage.get_task(answer.headers["location"].removeprefix("/tasks/"))
    assert made.external_id.startswith("shop.tasks.add-")
    assert made.external_id != task.external_id


@on_every_backend
def test_the_timeline_of_a_task_that_is_done_says_how_long_it_took_from_when_it_was_due(dashboard, storage):
    publish(storage, "mail")
    add(storage)
    row = settle(storage, TaskStatus.DONE)
    told = text_of(dashboard.get(f"/tasks/{row.id}"))
    assert re.search(r"Timeline .*Created .*Done [^ ]+ m?s after it was due", told)


def test_the_page_of_a_task_links_to_the_nodes_of_its_attempts(dashboard, storage):
    storage.register_node("node-1", host="worker-1", pid=7)
    add(storage)
    row = settle(storage, TaskStatus.ERROR, error="boom")
    assert 'href="/nodes#node-node-1" title="node-1">worker-1</a>' in dashboard.get(f"/tasks/{row.id}").text


# -- the search box -------------------------------------------------------------------------------------


@on_every_backend
def test_a_search_leads_to_what_was_asked_for(dashboard, storage):
    task = add(storage, external_id="order-7")
    add(storage, "sms", external_id="order-70")
    flow = Flow("orders")
    flow.add("mail")
    TaskQueueManager(storage).enqueue_flow(flow)
    for asked, path in (
        (task.id, f"/tasks/{task.id}"),
        (f" {task.id.upper()} ", f"/tasks/{task.id}"),
        (task.id[:35], f"/tasks/{task.id}"),
        (flow.id, f"/flows/{flow.id}"),
        ("order-7", f"/tasks/{task.id}"),
        ("SM", "/tasks?type=sms"),
        ("", "/tasks"),
    ):
        answer = dashboard.get("/search", params={"q": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, path), asked
    assert dashboard.get(f"/search?q={NOBODY}", follow_redirects=True).status_code == 404


@on_every_backend
def test_a_search_that_may_mean_several_lists_them(dashboard, storage):
    tasks = [add(storage, "order", external_id=f"order-{number}") for number in range(2)]
    answer = dashboard.get("/search?q=order")
    told = text_of(answer)
    assert answer.status_code == 200
    assert listed(answer) == [task.id for task in tasks]
    assert "Types whose names contain it order " in told
    assert 'value="order"' in answer.text
    nothing = text_of(dashboard.get("/search?q=invoice"))
    assert "No task has an id or an external id that begins so" in nothing


def test_a_search_for_hostile_text_runs_nothing(dashboard, storage):
    add(storage, external_id=f"{HOSTILE}-1"[:255])
    add(storage, external_id=f"{HOSTILE}-2"[:255])
    answer = dashboard.get("/search", params={"q": HOSTILE})
    assert len(listed(answer)) == 2
    assert "<script>alert" not in answer.text
    assert dashboard.get("/search", params={"q": "x" * 256}).status_code == 400
    assert dashboard.get("/search", params={"q": "a\0b"}).status_code == 400


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ("01a21501-4e58-7281-a3ed-a2615fa81da9", "01a21501-4e58-7281-a3ed-a2615fa81daa"),
        ("01a21501-4e58-7281-a3ed-ffffffffffff", "01a21501-4e58-7281-a3ee-000000000000"),
        ("f" * 8 + "-ffff-ffff-ffff-" + "f" * 12, "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12),
    ],
)
def test_the_next_id_is_the_smallest_greater_one(given, after):
    assert id_after(given) == after
