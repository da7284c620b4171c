"""The runs of each function of a type whose tasks call different functions."""

from __future__ import annotations

from pathlib import Path

from goque.identifiers import external_id_of, short_function
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.metrics.counters import Counters, read_counters
from goque_supervisor.metrics.function_counters import OTHER, FunctionCounters, read_function_counters
from unit.rows import row

ADD, SEND = "shop.tasks.add", "shop.tasks.send"


def run(counters: FunctionCounters, external_id: str, outcome: Outcome, payload: bytes = b"{}") -> None:
    task = row(type="django.default", external_id=external_id, payload=payload)
    counters.settled(settle(outcome, task, RetryPolicy(max_attempts=2)), outcome, task)


def test_each_function_is_counted_by_itself_and_what_the_app_does_not_name_together(tmp_path: Path) -> None:
    Counters(tmp_path / "a.counters", "django.default")
    counters = FunctionCounters(tmp_path / "a.counters", "django.default", [ADD, SEND])
    assert read_function_counters(tmp_path) == {}
    run(counters, external_id_of(ADD), Outcome(OutcomeKind.DONE, duration=0.5))
    run(counters, external_id_of(ADD), Outcome(OutcomeKind.FAILED, "boom"))
    run(counters, external_id_of(SEND), Outcome(OutcomeKind.DONE))
    for number in range(100):
        run(counters, external_id_of(f"made.up.function_{number}"), Outcome(OutcomeKind.DONE))
    run(counters, "order-7", Outcome(OutcomeKind.DONE))
    found = read_function_counters(tmp_path)
    assert {key: (counts["processed:done"], counts["processed:error"]) for key, counts in found.items()} == {
        ("django.default", ADD): (1, 1),
        ("django.default", SEND): (1, 0),
        ("django.default", OTHER): (101, 0),
    }
    assert found["django.default", ADD]["processing:sum"] == 0.5
    assert list(read_counters(tmp_path)) == ["django.default"]  # which do not count these once more
    assert read_counters(tmp_path)["django.default"]["processed:done"] == 0


def test_a_function_that_the_app_has_not_named_is_known_once_it_has_succeeded(tmp_path: Path) -> None:
    counters = FunctionCounters(tmp_path / "a.counters", "django.default", [])
    long = "shop.views." + "x" * 300
    for path in (ADD, long):
        payload = b'{"task":"%s","args":[]}' % path.encode()
        run(counters, external_id_of(path), Outcome(OutcomeKind.FAILED, "no such task"), payload)
        run(counters, external_id_of(path), Outcome(OutcomeKind.DONE), payload)
        run(counters, external_id_of(path), Outcome(OutcomeKind.FAILED, "boom"), payload)
    for payload in (b'{"task":"shop.tasks.add"}', b'{"task":7}', b"[]", b"{", b"\xff"):
        run(counters, external_id_of(SEND), Outcome(OutcomeKind.DONE), payload)
    found = read_function_counters(tmp_path)
    assert {
        key[1]: (counts["processed:done"], counts["processed:error"]) for key, counts in found.items()
    } == {
        ADD: (1, 1),
        short_function(long): (1, 1),
        OTHER: (5, 2),
    }


def test_the_counters_go_on_when_the_fetcher_dies(tmp_path: Path) -> None:
    for _ in range(2):
        counters = FunctionCounters(tmp_path / "a.counters", "django.default", [ADD])
        run(counters, external_id_of(ADD), Outcome(OutcomeKind.DONE))
    assert read_function_counters(tmp_path)["django.default", ADD]["processed:done"] == 2
