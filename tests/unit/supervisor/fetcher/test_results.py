"""How a fetcher handles a result that it knows already: the worker must not forget it before it is committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque.outcome import Outcome, OutcomeKind
from goque_supervisor.fetcher.results import ResultReceiver
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.ipc.messages import EPOCH_BITS, Result
from goque_supervisor.metrics.counters import Counters, read_counters
from unit.supervisor.fetcher.one_worker import NOW, OneWorker

DONE = Outcome(OutcomeKind.DONE)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[OneWorker]:
    made = OneWorker(tmp_path)
    yield made
    made.close()


@pytest.fixture
def results(setup: OneWorker, tmp_path: Path) -> ResultReceiver:
    setup.worker_pool.epoch = 1
    counters = Counters(tmp_path / "mail.counters", "mail")
    return ResultReceiver(
        setup.in_flight,
        setup.worker_pool,
        counters,
        Schedule(),
        hold_back=lambda _what: None,
        on_question=lambda _worker, _asking: None,
        on_stack=lambda _shown: None,
    )


def test_a_result_read_in_the_black_box_is_acknowledged_when_it_is_committed_not_when_its_message_comes(
    setup: OneWorker, results: ResultReceiver
) -> None:
    setup.send(1, at=NOW)
    (task,) = setup.worker.jobs.values()
    setup.in_flight.by_id[task.row.id] = task
    results.take(setup.worker, Result(1, DONE))
    results.take(setup.worker, Result(1, DONE))
    assert setup.in_flight.ended == [task]
    assert setup.worker.acknowledged == []
    setup.worker_pool.acknowledge([task])
    assert setup.worker.acknowledged == [1]


def test_a_result_that_an_earlier_fetcher_has_committed_is_acknowledged_when_it_comes_again(
    setup: OneWorker, results: ResultReceiver
) -> None:
    results.take(setup.worker, Result(1, DONE))
    assert setup.worker.acknowledged == [1]
    assert setup.in_flight.ended == []


def test_a_result_of_a_job_that_was_never_sent_is_counted_and_dropped(
    setup: OneWorker, results: ResultReceiver, tmp_path: Path
) -> None:
    for forged in (0, -1, (1 << EPOCH_BITS) + 1):
        results.take(setup.worker, Result(forged, DONE))
    assert setup.worker.acknowledged == []
    assert read_counters(tmp_path)["mail"]["dropped_messages"] == 3
