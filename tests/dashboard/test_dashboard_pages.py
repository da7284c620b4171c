"""What the pages show: on every database, of hostile text, of what is not there."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from dashboards import HOSTILE, add, do, on_every_backend, publish, settle, text_of

from goque import PeriodicJob, Registry, Task, TaskStatus, cron_job
from goque.describe.node_info import (
    FunctionInfo,
    NodeInfo,
    PoolInfo,
    ProcessInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
    encode_info,
)
from goque.identifiers import external_id_of
from goque.task_rules.limits import LimitChanges


@on_every_backend
def test_the_overview_tells_what_waits_what_fails_and_who_works(dashboard, storage):
    publish(storage, "mail", "sms")
    storage.register_node("node-1", host="worker-1", pid=7)
    for _ in range(3):
        add(storage)
    settle(storage, TaskStatus.DONE)
    settle(storage, TaskStatus.ERROR, error="ConnectionError: refused")
    add(storage, "sms", delay=3600)
    storage.pause_type("sms")
    told = text_of(dashboard.get("/"))
    assert re.search(r"Waiting 3 ", told)
    assert re.search(r"Failed attempts 1 ", told)
    assert re.search(r"Nodes 1 ", told)
    assert re.search(r"mail 2 0 ", told)
    assert re.search(r"sms paused 1 0 ", told)
    assert "ConnectionError: refused" in told
    assert re.search(r'<rect class="done[ "]', dashboard.get("/?window=1h").text)


def test_people_see_the_words_for_statuses_and_the_raw_ones_where_they_filter(dashboard, storage):
    publish(storage, "mail")
    add(storage)
    settle(storage, TaskStatus.ERROR, error="refused")
    add(storage)
    row = settle(storage, TaskStatus.ATTEMPTS_LEFT, error="boom")
    page = dashboard.get("/tasks").text
    for status, word in (("new", "waiting"), ("pending", "claimed"), ("attempts_left", "failed")):
        assert f'href="?status={status}"' in page
        assert f"{word} <small>{status}</small>" in page
    assert 'title="failed: no attempt was left: attempts_left">failed</span>' in page
    assert 'title="failed, waiting for a retry: error">waiting</span>' in page
    one = text_of(dashboard.get(f"/tasks/{row.id}"))
    assert one.partition("Failed attempts ")[2].startswith("1 of 5")
    types = dashboard.get("/types").text
    assert "/tasks?type=mail&amp;status=new&amp;status=error" in types
    assert "Claimed" in types
    assert "Pending" not in types
    doubt = text_of(dashboard.get("/do/reset-all?query=status%3Dattempts_left%26status%3Derror"))
    assert "all that are failed (attempts_left) or waiting (error)." in doubt


@on_every_backend
def test_tasks_are_filtered_and_paged_by_key(dashboard, storage):
    for number in range(60):
        add(storage, external_id=f"order-{number}")
    settle(storage, TaskStatus.ATTEMPTS_LEFT, error="boom")
    add(storage, "sms", external_id="order-7")
    first = dashboard.get("/tasks")
    assert first.text.count("data-row") == 50
    older = re.search(r'rel="next" href="\?(before=[0-9a-f-]+)"', first.text)
    assert older
    assert dashboard.get(f"/tasks?{older[1]}").text.count("data-row") == 11
    assert dashboard.get("/tasks?type=sms").text.count("data-row") == 1
    assert dashboard.get("/tasks?external_id=order-7").text.count("data-row") == 2
    assert dashboard.get("/tasks?type=mail&external_id=order-7").text.count("data-row") == 1
    assert dashboard.get("/tasks?error=BOOM").text.count("data-row") == 1
    assert dashboard.get("/tasks?status=attempts_left&status=error").text.count("data-row") == 1
    assert dashboard.get("/tasks?period=15m").text.count("data-row") == 50
    assert "No task matches." in dashboard.get("/tasks?until=2020-01-01T00:00").text
    assert (
        "No older task matches." in dashboard.get("/tasks?before=00000000-0000-7000-8000-000000000000").text
    )


def test_the_id_of_a_task_in_the_search_leads_to_it(dashboard, storage):
    task = add(storage)
    answer = dashboard.get(f"/tasks?external_id=%20{task.id.upper()}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{task.id}")


@on_every_backend
def test_one_task_tells_its_whole_story(dashboard, storage):
    publish(storage, "mail")
    add(storage, payload={"to": "ada@example.com"}, external_id="order-7", metadata={"tenant": "acme"})
    crash = "worker crashed: signal 11 (SIGSEGV)"
    row = settle(
        storage, TaskStatus.ERROR, error=crash, cause="crashed", signal=11, max_rss=300 * 2**20, duration=1.25,
        stack='  File "images.py", line 88 in resample', stderr="libpng warning", worker_pid=812,
    )  # fmt: skip
    told = text_of(dashboard.get(f"/tasks/{row.id}"))
    for part in (
        "order-7", "1 of 5", "ada@example.com", "acme", crash, "11 (SIGSEGV)", "300 MiB", "812", "1.2 s",
        "line 88 in resample", "libpng warning", "Attempt 2 of 5 is due in", "Claimed once, not claimed now",
    ):  # fmt: skip
        assert part in told, part


@on_every_backend
def test_types_and_nodes_show_the_trees(dashboard, storage):
    publish(storage, "mail")
    task = add(storage)
    worker = WorkerInfo("worker[mail:0]", 812, 60.0, 80 * 2**20, 0.5, runs=(RunInfo(task.id, 3.0),))
    info = NodeInfo(
        version="0.1.0",
        app="shop:registry",
        types=(TypeInfo("mail", slots=2, living=2, ready=1),),
        pools=(PoolInfo("mail", ("mail",), slots=2, ready=1, restarts={"crash": 3}, workers=(worker,)),),
        processes=(ProcessInfo("root", 700), ProcessInfo("fetcher[mail]", 705)),
    )
    storage.register_node("node-1", host="worker-1", pid=700, info=encode_info(info))
    storage.register_node("node-2", host="worker-2", pid=9)
    storage.retire_node("node-2")
    storage.register_node("node-3", host="worker-3", pid=9, info='{"of": "another version", "types": 7}')
    told = text_of(dashboard.get("/nodes"))
    for part in (
        "shop:registry",
        "0 pid 812",
        "80 MiB",
        "50 %",
        "3 replaced for crash",
        "1 of at most 2 workers ready",
    ):
        assert part in told, part
    assert f"/tasks/{task.id}" in dashboard.get("/nodes").text
    assert "worker-2 9 stopped" in told
    assert "It has not reported its tree yet." in told
    assert re.search(r"mail mail 1 0 0 0 ", text_of(dashboard.get("/types")))


@on_every_backend
def test_functions_of_a_type_are_shown_below_the_types_and_name_their_failures(dashboard, storage):
    publish(storage, "django.default", "mail")
    for path in ("shop.tasks.send", "shop.tasks.add"):
        add(storage, "django.default", external_id=external_id_of(path))
    row = settle(storage, "error", error="refused", task_type="django.default")
    assert row.external_id.startswith("shop.tasks.send")
    add(storage, external_id=external_id_of("shop.tasks.hidden"))
    function = FunctionInfo("shop.tasks.send", {"error": 90}, {"error": 60}, 30.0)
    info = NodeInfo(recent_seconds=60.0, types=(TypeInfo("django.default", functions=(function,)),))
    storage.register_node("node-1", host="worker-1", pid=700, info=encode_info(info))
    told = text_of(dashboard.get("/types"))
    shown = told[told.index("Functions of django.default") :]
    assert "shop.tasks.add 1 0 0 \N{EN DASH} 0 \N{EN DASH} " in shown
    assert "shop.tasks.send 1 1 0 1 /s 60 500 ms" in shown
    assert told.count("Functions of") == 1
    assert "shop.tasks.hidden" not in told
    assert text_of(dashboard.get("/")).count("shop.tasks.send") == 2  # grouped, and among the newest


def test_jobs_show_their_next_runs(storage, backend, open_dashboard):
    registry = Registry()
    registry.add_periodic_job(cron_job("nightly", "0 3 * * *", lambda: Task("report"), tz="Europe/Prague"))
    registry.add_periodic_job(PeriodicJob("ended", lambda _after: None, lambda: Task("report")))
    registry.add_periodic_job(PeriodicJob("stuck", lambda after: after, lambda: Task("report")))
    storage.record_slot("of another app", datetime(2026, 11, 23, tzinfo=UTC))
    storage.record_slot(
        "nightly", datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
    )  # first seen then, and not run
    told = text_of(open_dashboard(registry, database_url=backend.url).get("/jobs"))
    assert re.search(r"nightly 0 3 \* \* \* Europe/Prague .* 03:00 CES?T .* none yet skip", told)
    assert "of another app" in told
    assert "its schedule has ended" in told
    assert "its schedule does not advance" in told
    assert "Only the database is known here" in text_of(open_dashboard(backend.url).get("/jobs"))


SECRET_ERRORS = (
    "postgresql://shop:s3cr3t-word@other-db:5432/shop refused the connection",
    "no route to amqps://user:s3cr3t-word@broker/vhost and redis://:s3cr3t-word@cache:6379/0",
    "https://s3cr3t-word@api.example/hook?token=s3cr3t-word answered 401",
    "host=other-db user=shop password=s3cr3t-word",
)


@pytest.mark.fault(41)
@pytest.mark.parametrize("text", SECRET_ERRORS)
def test_jobs_show_no_password_of_the_urls_in_an_apps_exceptions(storage, backend, open_dashboard, text):
    def fail(*_slot):
        raise ConnectionError(text)

    registry = Registry()
    registry.add_periodic_job(PeriodicJob("schedule fails", fail, lambda: Task("report")))
    registry.add_periodic_job(PeriodicJob("schedule is wrong", lambda _after: text, lambda: Task("report")))
    registry.add_periodic_job(cron_job("factory-fails", "0 3 * * *", fail))
    registry.add_periodic_job(cron_job("factory-is-wrong", "0 3 * * *", lambda: text))
    client = open_dashboard(registry, database_url=backend.url, actions=True)
    jobs = client.get("/jobs")
    assert "its schedule raised ConnectionError: " in text_of(jobs)
    assert "***" in text_of(jobs)
    answers = [do(client, f"/do/run-job?name={name}") for name in ("factory-fails", "factory-is-wrong")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert "its factory raised ConnectionError: " in text_of(answers[0])
    for answer in (jobs, *answers):
        assert "s3cr3t" not in answer.text


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/tasks?status=runing", "there is new, pending, processing, done, canceled, error, attempts_left"),
        ("/tasks?period=1y", "there is 15m, 1h, 6h, 24h, 7d"),
        ("/tasks?from=yesterday", "from must be a time such as 2026-11-23T21:00, in UTC"),
        ("/tasks?from=2026-01-02T00:00&until=2026-01-01T00:00", "is later than"),
        ("/tasks?before=2", "is no page; start again from the newest tasks"),
        ("/tasks?type=" + "x" * 256, "type must be text of at most 255 characters"),
        ("/tasks?error=%00", "error must be text"),
        ("/?window=1y", "choose one of 10m, 1h"),
        ("/do/pause?type=nobody", None),
        ("/do/reset-all?query=type%3Dmail", "choose statuses whose tasks can be reset"),
        ("/do/cancel-all?query=status%3Ddone", "choose statuses whose tasks can be canceled"),
        ("/do/run-job?name=nightly", "this dashboard has no app"),
        ("/do/stop-all", "no bulk action is running"),
    ],
)
def test_a_filter_or_a_page_that_is_none_is_told_in_one_line(dashboard, path, says):
    answer = dashboard.get(path)
    if says is None:
        assert answer.status_code == 200  # asked for; whether the type exists is told when it is done
        return
    assert answer.status_code == 400
    assert says in text_of(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/tasks/7",
        "/tasks/" + "0" * 8 + "-0000-7000-8000-" + "0" * 12,
        "/do/nothing",
        "/do/cancel?id=7",
        "/static/nothing",
    ],
)
def test_what_is_not_there_is_told(dashboard, path):
    answer = dashboard.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


def test_many_failed_attempts_are_bounded(dashboard, storage, backend):
    task = add(storage)
    for number in range(1, 26):
        backend.execute(
            "INSERT INTO goque_attempt (task_id, attempt, cause, error, ended_at) "
            f"VALUES ('{task.id}', {number}, 'failed', 'boom', '2026-11-23T21:02:33.000000Z')"
        )
    page = dashboard.get(f"/tasks/{task.id}").text
    assert "25, newest first" in page
    assert page.count("<article") == 20
    assert page.count('class="is-failed"') == 25  # the timeline has room for all
    assert f"5 older ones: <code>goque show {task.id}</code>" in page


@pytest.mark.fault(40)
@on_every_backend
def test_hostile_text_is_inert_on_every_page(dashboard, storage):
    publish(storage, HOSTILE)
    add(
        storage,
        HOSTILE,
        payload={"html": HOSTILE, HOSTILE: 1},
        external_id=HOSTILE,
        metadata={HOSTILE: HOSTILE},
    )
    row = settle(
        storage, TaskStatus.ATTEMPTS_LEFT, error=HOSTILE, task_type=HOSTILE, traceback=HOSTILE, stderr=HOSTILE
    )
    add(storage, HOSTILE, external_id="second")
    worker = WorkerInfo(HOSTILE, 812, runs=(RunInfo(HOSTILE, 3.0),), state=HOSTILE)
    info = NodeInfo(
        app=HOSTILE,
        types=(TypeInfo(HOSTILE, recent={HOSTILE: 1}),),
        pools=(PoolInfo(HOSTILE, (HOSTILE,), restarts={HOSTILE: 1}, workers=(worker,)),),
        processes=(ProcessInfo(HOSTILE, 1),),
    )
    storage.register_node("node-1", host=HOSTILE[:200], pid=700, info=encode_info(info))
    storage.record_slot(HOSTILE, datetime(2026, 11, 23, tzinfo=UTC))
    pages = ["/", "/types", "/limits", "/tasks", f"/tasks/{row.id}", "/jobs", "/nodes"]
    dashboard.get("/")
    for path in pages:
        text = dashboard.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "\u202e" not in text
        assert "&lt;script&gt;alert(1)" in text, path
        assert "onerror=alert(2)&gt;" in text or "onerror" not in text
    found = dashboard.get("/tasks", params={"type": HOSTILE, "error": HOSTILE, "status": "attempts_left"})
    assert found.text.count("data-row") == 1
    assert "<script>alert" not in found.text
    for action, name in (("pause", "type"), ("run-job", "name")):
        assert "<script>alert" not in dashboard.get(f"/do/{action}", params={name: HOSTILE}).text
    assert (
        "<script>alert"
        not in dashboard.get("/do/reset-all", params={"query": f"status=error&type={HOSTILE}"}).text
    )


@pytest.mark.fault(40)
def test_every_answer_forbids_scripts_of_others(dashboard):
    for path in ("/", "/nothing", "/tasks?status=x", "/static/dashboard.css"):
        policy = dashboard.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert dashboard.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.fault(40)
def test_no_page_needs_what_the_policy_forbids(dashboard, storage):
    row = add(storage)
    publish(storage, "mail")
    storage.set_limits("mail", LimitChanges(limit=3))
    others = (f"/tasks/{row.id}", f"/do/cancel?id={row.id}", "/do/set-limits?type=mail")
    for path in ("/", "/types", "/limits", "/tasks", "/jobs", "/nodes", *others):
        text = dashboard.get(path).text
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", text), path
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), path
        assert re.findall(r'(?:src|href|action)="((?:https?:)?//[^"]*)"', text) == [], path


@pytest.mark.fault(41)
def test_a_password_is_on_no_page(open_dashboard):
    for url in (
        "postgresql://goque:s3cr3t-word@127.0.0.1:1/shop",
        "mysql://goque:s3cr3t-word@127.0.0.1:1/shop",
    ):
        client = open_dashboard(url, actions=True)
        for path in (
            "/",
            "/types",
            "/limits",
            "/tasks",
            "/tasks/" + "0" * 8 + "-0000-7000-8000-" + "0" * 12,
            "/jobs",
            "/nodes",
            "/do/pause?type=x",
            "/nothing",
        ):
            answer = client.get(path)
            assert answer.status_code in (503, 404)
            assert "127.0.0.1:1" in answer.text or answer.status_code == 404
            assert "s3cr3t" not in answer.text
            assert "s3cr3t" not in str(answer.headers)
