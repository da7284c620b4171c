"""The overview over ranges of time, the pages of types and pools, and the last run of jobs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from dashboards import HOSTILE, add, on_every_backend, publish, settle, text_of

import goque
from goque import Registry, Task, TaskStatus
from goque.dashboard.readings.ranges import RANGES
from goque.describe.node_info import (
    NodeInfo,
    PoolInfo,
    ProcessInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
    encode_info,
)
from goque.describe.run_counts import COARSE, FINE, MINUTE, RunCounts, bucket_of, encode_runs
from goque.periodic.jobs import slot_text
from goque.storage.contract import RollupRow
from goque.task_rules.limits import LimitChanges


def roll_up(storage, *, done=100, failed=7, run=0.5, wait=2.0, task_type="mail", ago=0):
    """Write what two nodes have counted in one slot of each length."""
    counts = RunCounts(
        {"done": done, "error": failed}, {bucket_of(run): done + failed}, {bucket_of(wait): done + failed}
    )
    text = encode_runs({task_type: counts})

    def rows_at(now):
        second = int(now.timestamp()) - ago
        return [
            RollupRow(step, second // step * step, writer, text)
            for step in (MINUTE, FINE, COARSE)
            for writer in (f"{task_type[:9]}-1", f"{task_type[:9]}-2")
        ]

    storage.put_rollups(rows_at)


def alive(storage, *pools, silent=False):
    info = NodeInfo(
        version="0.1.0",
        app="shop:registry",
        types=tuple(TypeInfo(name) for pool in pools for name in pool.types),
        pools=pools,
        processes=(ProcessInfo("root", 700), *(ProcessInfo(f"fetcher[{pool.name}]", 705) for pool in pools)),
    )
    storage.register_node("node-1", host="worker-1", pid=700, info=None if silent else encode_info(info))


@on_every_backend
def test_long_ranges_show_what_nodes_have_written(dashboard, storage):
    publish(storage, "mail")
    roll_up(storage)
    roll_up(storage, done=1000, failed=0, ago=2 * 86400)
    for window in ("6h", "24h", "7d"):
        told = text_of(dashboard.get(f"/?window={window}"))
        done = "2,200" if window == "7d" else "200"
        assert f"{done} in {window}" in told, window
        assert f"Failed attempts 14 in the last {RANGES[window].words}" in told
        assert re.search(r"Latency 2\.\d s p50 · p95 2\.\d s", told), window
        assert re.search(r"Run time 5\d\d ms p50 · p95 5\d\d ms", told), window
    hour = text_of(dashboard.get("/?window=1h"))
    assert "0 in 1h" in hour  # short ranges count the tasks themselves
    assert re.search(r"Run time 5\d\d ms p50", hour)


def test_a_range_that_is_not_there_is_refused_in_one_sentence(dashboard, storage):
    publish(storage, "mail")
    answer = dashboard.get("/?window=2y")
    assert answer.status_code == 400
    assert "choose one of 10m, 1h, 6h, 24h, 7d" in text_of(answer)


@on_every_backend
def test_what_is_unwell_is_at_the_top_with_what_to_do(dashboard, storage):
    publish(storage, "mail", "sms")
    add(storage)
    told = text_of(dashboard.get("/"))
    assert "No supervisor runs; 1 task waits. Start one: goque supervise app:registry ." in told
    alive(storage, PoolInfo("mail", ("mail",)))
    add(storage, "sms")
    storage.pause_type("mail")
    dashboard.app.state.dashboard.history.look_again()
    answer = dashboard.get("/")
    for _ in range(50):
        if "Paused: mail" in answer.text:
            break
        dashboard.app.state.dashboard.history.run_once()
        answer = dashboard.get("/")
    told = text_of(answer)
    assert "No node runs sms; 1 task waits." in told
    assert "Paused: mail; 1 task waits." in told
    assert 'href="/types/type?name=sms"' in answer.text


@on_every_backend
def test_the_page_of_a_type_has_its_figures_its_workers_and_its_options(dashboard, storage):
    publish(storage, "mail", "sms")
    task = add(storage)
    settle(storage, TaskStatus.ERROR, error="ConnectionError: refused")
    storage.set_limits("mail", LimitChanges(limit=3))
    roll_up(storage)
    roll_up(storage, task_type="sms", done=5000, run=50.0)
    worker = WorkerInfo(
        "worker[media:0]", 812, 60.0, 80 * 2**20, 0.5, runs=(RunInfo(task.id, 3.0, 0.25, "page 3"),)
    )
    idle = WorkerInfo("worker[media:1]", 813, 60.0)
    alive(storage, PoolInfo("media", ("mail", "sms"), slots=4, living=2, ready=2, workers=(worker, idle)))
    answer = dashboard.get("/types/type?name=mail&window=6h")
    told = text_of(answer)
    for part in (
        "Type mail", "200 in 6h", "Failed attempts 14", "of pool media",
        "worker-1 pid 700 · 2 of at most 4 workers ready",
        "0 pid 812", "25 %", "1 pid 813 idle", "ConnectionError: refused", "Attempts max_attempts 5", "Limits",
    ):  # fmt: skip
        assert part in told, part
    assert "5,000" not in told
    assert re.search(r"Run time 5\d\d ms", told)
    assert f'href="/tasks/{task.id}"' in answer.text
    assert 'href="/types/pool?name=media"' in answer.text
    assert 'href="?name=mail&amp;window=7d"' in answer.text


def test_the_page_of_a_pool_sums_its_types(dashboard, storage):
    publish(storage, "mail", "sms", "elsewhere")
    roll_up(storage)
    roll_up(storage, task_type="sms", done=50, failed=1)
    roll_up(storage, task_type="elsewhere", done=9000)
    workers = tuple(WorkerInfo(f"worker[media:{number}]", 800 + number, 1.0) for number in range(60))
    alive(storage, PoolInfo("media", ("mail", "sms"), slots=60, living=60, ready=60, workers=workers))
    answer = dashboard.get("/types/pool?name=media&window=24h")
    told = text_of(answer)
    for part in (
        "Pool media",
        "300 in 24h",
        "Failed attempts 16",
        "Types of the pool",
        "60 of at most 60 workers ready",
    ):
        assert part in told, part
    assert answer.text.count('<li class="idle"') == 60
    assert 'href="/types/type?name=sms"' in answer.text
    assert "elsewhere" not in told


@pytest.mark.parametrize("path", ["/types/type?name=nobody", "/types/pool?name=nobody"])
def test_what_is_not_there_is_not_found(dashboard, storage, path):
    publish(storage, "mail")
    answer = dashboard.get(path)
    assert answer.status_code == 404
    assert "nobody" in answer.text
    assert dashboard.get(path.partition("?")[0]).status_code == 400


@on_every_backend
def test_hostile_names_are_text_on_every_page(dashboard, storage):
    publish(storage, HOSTILE)
    add(storage, HOSTILE)
    settle(storage, TaskStatus.ERROR, error=HOSTILE, task_type=HOSTILE)
    roll_up(storage, task_type=HOSTILE)
    run = RunInfo(HOSTILE, 1.0, 0.5, HOSTILE)
    alive(
        storage, PoolInfo(HOSTILE, (HOSTILE,), workers=(WorkerInfo(HOSTILE, 1, state=HOSTILE, runs=(run,)),))
    )
    name = urlencode({"name": HOSTILE})
    for path in (
        "/?window=7d",
        "/types?window=7d",
        f"/types/type?{name}",
        f"/types/pool?{name}",
        "/nodes",
        "/jobs",
    ):
        answer = dashboard.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "<img" not in answer.text, path
        assert "\u202e" not in answer.text, path


def test_rows_that_somebody_else_wrote_change_nothing(dashboard, storage):
    publish(storage, "mail")
    storage.put_rollups(
        lambda now: [
            RollupRow(FINE, int(now.timestamp()) // FINE * FINE, str(n), text)
            for n, text in enumerate(("", "[]", '{"a":{"ends":{"done":"x"}}}'))
        ]
    )
    assert "0 in 6h" in text_of(dashboard.get("/?window=6h"))


@on_every_backend
def test_jobs_show_their_own_time_zone_and_the_result_of_their_last_slot(open_dashboard, backend, storage):
    registry = Registry()
    registry.add_periodic_job(
        goque.cron_job("nightly", "0 3 * * *", lambda: Task("mail", {}), tz="Europe/Prague")
    )
    registry.add_periodic_job(goque.cron_job("hourly", "@hourly", lambda: Task("sms", {})))
    publish(storage, "mail", "sms")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    night = hour.replace(hour=2) - timedelta(days=1)
    for name, slot, task_type in (("nightly", night, "mail"), ("hourly", hour, "sms")):
        storage.record_slot(name, slot)
        add(storage, task_type, external_id=f"{name}:{slot_text(slot)}")
    done = settle(storage, TaskStatus.DONE)
    failed = settle(storage, TaskStatus.ATTEMPTS_LEFT, error="ValueError: no prices", task_type="sms")
    answer = open_dashboard(registry, database_url=backend.url).get("/jobs")
    told = text_of(answer)
    assert re.search(r"\d\d 03:00 (CET|CEST)", told)
    assert re.search(r"\d\d:00 UTC", told)
    assert "Europe/Prague" in told
    assert re.search(r"failed \S+( \S+)? ago attempt 1: ValueError: no prices", told) or "failed now" in told
    for row in (done, failed):
        assert f'href="/tasks/{row.id}"' in answer.text


def test_the_grid_of_a_node_folds_the_processes_of_goque(dashboard, storage):
    publish(storage, "mail")
    busy = WorkerInfo("worker[mail:0]", 812, 1.0, 2**20, 0.5, runs=(RunInfo("x" * 36, 1.0),), more=4)
    booting = WorkerInfo("worker[mail:1]", 813, 1.0, state="booting")
    alive(storage, PoolInfo("mail", ("mail",), slots=2, living=2, ready=1, workers=(busy, booting)))
    answer = dashboard.get("/nodes")
    told = text_of(answer)
    for part in (
        "1 of 2 workers busy",
        "2 processes of goque itself",
        "booting",
        "and 2 more",
        "fetcher[mail] 705",
    ):
        assert part in told, part
    assert "<details" in answer.text
