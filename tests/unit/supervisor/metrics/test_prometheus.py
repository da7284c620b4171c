"""What /metrics, /healthz and /readyz say, by the state of the tree."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from goque.storage.contract import LimitLoad, QueueDepth
from goque.task_rules.limits import Limits, Rate
from goque_supervisor.actors.health import not_alive, not_ready
from goque_supervisor.metrics.counters import Counts
from goque_supervisor.metrics.prometheus import QueueSample, Snapshot, families

GROUP = {"workers": 2, "ready": 2, "fetcher": True, "held": False, "restarts": {"crash": 3}}


def snapshot(**fields: Any) -> Snapshot:
    state = {
        "types": {"mail": {**GROUP, **fields.pop("group", {})}},
        "child_restarts": {"fetcher": 1},
        "lease": True,
        "stopping": False,
        **fields.pop("state", {}),
    }
    counts = {
        "processed:done": 5.0,
        "processing:1": 5.0,
        "processing:sum": 0.02,
        "database_answered_at": 100.0,
    }
    counters = {"mail": Counts(counts), "unregistered": Counts({"cleaned": 2.0})}
    return Snapshot(**{"state": state, "counters": counters, "queue": QueueSample(), **fields})


class Collector:
    def __init__(self, snapshot: Snapshot, service: str | None) -> None:
        self.collect = lambda: families(snapshot, service)


def parsed(snapshot: Snapshot, service: str | None = None) -> dict[tuple[str, ...], float]:
    """What prometheus-client's own parser makes of the page."""
    registry = CollectorRegistry()
    registry.register(Collector(snapshot, service))  # type: ignore[arg-type]  # has what it asks for
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_a_type_that_the_app_registers_and_another_tree_runs_is_no_stranger() -> None:
    depths = [QueueDepth("resize", "new", 4, 8.0), QueueDepth("stranger", "new", 1, 2.0)]
    known = {"known_types": ["mail", "resize"]}
    found = parsed(snapshot(state=known, queue=QueueSample(depths, frozenset({"resize"}))))
    assert found["goque_queue_depth", "status=new", "task_type=resize"] == 4
    assert found["goque_queue_depth", "status=new", "task_type=unregistered"] == 1
    assert found["goque_queue_latency_seconds", "task_type=resize"] == 8
    assert found["goque_queue_latency_seconds", "task_type=mail"] == 0
    assert found["goque_type_paused", "task_type=resize"] == 1
    assert ("goque_processors_workers_count", "task_type=resize") not in found


def test_every_name_and_label_of_the_contract_is_there() -> None:
    depths = [
        QueueDepth("mail", "new", 7, 12.5),
        QueueDepth("mail", "blocked", 4, 12.5),
        QueueDepth("stranger", "error", 2, 3.0),
    ]
    depths += [QueueDepth("<b>", "error", 1, 9.0)]
    found = parsed(snapshot(queue=QueueSample(depths, frozenset({"mail"}))))
    expected = {
        ("goque_processed_tasks_total", "status=done", "task_type=mail"): 5,
        ("goque_processed_tasks_total", "status=attempts_left", "task_type=mail"): 0,
        (
            "goque_task_processing_duration_seconds_bucket",
            "le=0.001",
            "operation=processing",
            "task_type=mail",
        ): 0,
        (
            "goque_task_processing_duration_seconds_bucket",
            "le=+Inf",
            "operation=processing",
            "task_type=mail",
        ): 5,
        ("goque_task_processing_duration_seconds_sum", "operation=processing", "task_type=mail"): 0.02,
        ("goque_payload_decode_errors_total", "task_type=mail"): 0,
        ("goque_processors_workers_count", "task_type=mail"): 2,
        ("goque_operations_total", "operation=processing", "task_type=mail"): 5,
        ("goque_operations_total", "operation=cleanup", "task_type=unregistered"): 2,
        ("goque_queue_depth", "status=new", "task_type=mail"): 7,
        ("goque_queue_depth", "status=blocked", "task_type=mail"): 4,
        ("goque_queue_depth", "status=processing", "task_type=mail"): 0,
        ("goque_queue_depth", "status=error", "task_type=unregistered"): 3,
        ("goque_queue_latency_seconds", "task_type=mail"): 12.5,
        ("goque_queue_latency_seconds", "task_type=unregistered"): 9,
        ("goque_worker_restarts_total", "reason=crash", "task_type=mail"): 3,
        ("goque_worker_restarts_total", "reason=reload", "task_type=mail"): 0,
        ("goque_child_restarts_total", "child=fetcher"): 1,
        ("goque_type_paused", "task_type=mail"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert {label for key in found for label in key if label.startswith("task_type=")} == {
        "task_type=mail",
        "task_type=unregistered",
    }


def test_histograms_of_payloads_and_attempts() -> None:
    counts = Counts({"payload:0": 1.0, "payload:sum": 2.0, "attempts:2": 1.0, "attempts:sum": 3.0})
    found = parsed(snapshot(counters={"mail": counts}))
    assert found["goque_task_payload_size_bytes_bucket", "le=100.0", "task_type=mail"] == 1
    assert found["goque_task_retry_attempts_bucket", "le=2.0", "task_type=mail"] == 0
    assert found["goque_task_retry_attempts_count", "task_type=mail"] == 1


def test_a_service_name_is_a_label_of_all() -> None:
    found = parsed(snapshot(), service="shop")
    assert all("service=shop" in key for key in found)


def test_without_a_fresh_look_at_the_database_there_is_no_depth() -> None:
    found = parsed(snapshot(queue=None))
    assert not [key for key in found if key[0].startswith(("goque_queue", "goque_type_paused"))]
    assert ("goque_processors_workers_count", "task_type=mail") in found


def test_before_the_roots_first_word_the_page_is_empty_but_valid() -> None:
    assert parsed(Snapshot()) == {}


def test_a_tree_that_works_is_ready() -> None:
    assert not_ready(snapshot(), 100.0, 105.0) == {}
    assert not_alive(100.0, 105.0) == {}


def test_what_is_not_ready_is_named_with_the_reason() -> None:
    def reasons(now: float = 105.0, **fields: Any) -> dict[str, str]:
        return dict(not_ready(snapshot(**fields), 100.0, now))

    assert not_ready(Snapshot(), 100.0, 105.0) == {"tree": "starting"}
    assert reasons(state={"stopping": True}) == {"tree": "stopping"}
    assert reasons(state={"lease": False}) == {"lease": "the database accepts no heartbeats"}
    assert reasons(group={"fetcher": False}) == {"mail": "no fetcher"}
    assert reasons(group={"ready": 0}) == {"mail": "no worker is ready"}
    assert reasons(group={"ready": 0, "held": True}) == {"mail": "no worker can boot"}
    assert reasons(now=112.0) == {"mail": "the database has not answered its fetcher for 12s"}
    assert reasons(counters={}) == {"mail": "the database has not answered its fetcher yet"}
    assert reasons(now=116.0)["tree"] == "the supervisor process has not reported for 16s"
    assert not_alive(100.0, 116.0) == {"tree": "the supervisor process has not reported for 16s"}


def test_functions_have_metrics_of_their_own_and_other_types_have_none() -> None:
    counts = Counts(
        {"processed:done": 2.0, "processed:new": 1.0, "processing:1": 3.0, "processing:sum": 0.01}
    )
    found = parsed(snapshot(functions={("django.default", "shop.tasks.add"): counts}))
    labels = "function=shop.tasks.add", "task_type=django.default"
    processed = {
        key[2]: value for key, value in found.items() if key[0] == "goque_function_processed_tasks_total"
    }
    assert processed == {
        f"status={status}": value
        for status, value in (("done", 2), ("error", 0), ("attempts_left", 0), ("canceled", 0), ("new", 1))
    }
    assert found["goque_function_processing_duration_seconds_count", *labels] == 3
    assert found["goque_function_processing_duration_seconds_sum", *labels] == 0.01
    assert not [key for key in parsed(snapshot()) if "function" in key[0]]


def test_recorded_steps_have_metrics_of_their_own_and_other_types_have_none() -> None:
    counts = Counts({"steps": 3.0, "step_seconds": 0.75})
    found = parsed(snapshot(steps={("ocr", "page-*"): counts, ("ocr", 'a"b\\c'): Counts()}))
    labels = "step=page-*", "task_type=ocr"
    assert found["goque_steps_total", *labels] == 3
    assert found["goque_step_seconds_total", *labels] == 0.75
    assert not [key for key in parsed(snapshot()) if "step" in key[0]]


def test_types_with_limits_have_metrics_of_their_own_and_other_types_have_none() -> None:
    depths = [QueueDepth("mail", "new", 7, 12.5), QueueDepth("mail", "error", 2, 3.0)]
    depths += [QueueDepth("mail", "processing", 3, 0.0), QueueDepth("sync", "new", 1, 0.0)]
    loads = {
        "mail": LimitLoad(Limits(limit=4, per_key=2), running=3, key_running=1),
        "sync": LimitLoad(Limits(rate=Rate(1, per=60)), running=0, next_start=41.5),
        "stranger": LimitLoad(Limits(limit=1), running=1),
    }
    queue = QueueSample(depths, limits=loads)
    found = parsed(snapshot(state={"known_types": ["mail", "sync", "resize"]}, queue=queue))
    limits = {key: value for key, value in found.items() if key[0].startswith("goque_limit_")}
    assert limits == {
        ("goque_limit_running", "task_type=mail"): 3,
        ("goque_limit_size", "task_type=mail"): 4,
        ("goque_limit_waiting", "task_type=mail"): 9,
        ("goque_limit_next_start_seconds", "task_type=mail"): 0,
        ("goque_limit_running", "task_type=sync"): 0,
        ("goque_limit_waiting", "task_type=sync"): 1,
        ("goque_limit_next_start_seconds", "task_type=sync"): 41.5,
    }
    assert not [key for key in parsed(snapshot(queue=QueueSample(depths))) if "goque_limit" in key[0]]
    assert not [key for key in parsed(snapshot(queue=None)) if "goque_limit" in key[0]]
