"""What a fetcher takes back from a worker that is at a long handler, read from its black box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque_supervisor.fetcher.schedule import INSPECT_PERIOD
from goque_supervisor.fetcher.worker_handle import LOOK_PERIOD, LOST_AFTER
from goque_supervisor.fetcher.worker_pool import MARK_AFTER, REVOCATION_SETTLES, UNRESPONSIVE_AFTER
from goque_supervisor.ipc.control import Replace
from unit.supervisor.fetcher.one_worker import NOW, OneWorker


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[OneWorker]:
    made = OneWorker(tmp_path)
    yield made
    made.close()


def test_what_waits_behind_a_long_handler_is_taken_back_for_ever(setup: OneWorker) -> None:
    setup.send(1, 2, 3, 4)
    setup.begin(1)
    setup.writer.end(1, b"its message waits for the next one")
    setup.begin(2)
    for turn in range(3):
        now = NOW + turn
        setup.worker_pool.inspect(now)
        setup.worker_pool.finish_revoking(now + REVOCATION_SETTLES)
    assert sorted(setup.worker.jobs) == [1, 2]
    assert [task.seq for task in setup.in_flight.waiting(is_async=False)] == [3, 4]
    assert setup.writer.revoked_through == 4


def test_a_worker_that_only_has_an_answer_to_send_has_nothing_taken_back(setup: OneWorker) -> None:
    setup.send(1, 2)
    setup.begin(1)
    setup.writer.end(1, b"its message waits for the next one")
    setup.begin(2)
    found = setup.worker_pool.inspect(NOW)
    assert found.unmarked == []
    assert found.lost == []
    assert setup.writer.revoked_through == 0
    assert setup.worker_pool.capacity("mail", NOW) > 0


def test_a_result_is_lost_if_it_stays_in_the_box_without_its_message(setup: OneWorker) -> None:
    setup.send(1, 2, 3)
    setup.begin(1)
    setup.writer.end(1, b"lost")
    setup.begin(2)
    setup.writer.end(2, b"its message has come")
    assert setup.worker_pool.inspect(NOW).lost == []
    del setup.worker.jobs[2]
    setup.begin(3)
    setup.writer.end(3, b"has just ended")
    found = setup.worker_pool.inspect(NOW + LOST_AFTER + 0.01)
    assert found.lost == [(setup.worker, 1, b"lost")]


def test_the_box_of_a_worker_that_sends_results_is_read_only_now_and_then(setup: OneWorker) -> None:
    setup.send(1)
    setup.begin(1)
    setup.worker.heard_at = setup.worker.read_at = NOW
    setup.worker_pool.received_at = NOW + INSPECT_PERIOD / 2
    assert setup.worker_pool.inspect(NOW + LOOK_PERIOD / 2).unmarked == []
    assert [task.seq for task in setup.worker_pool.inspect(NOW + LOOK_PERIOD).unmarked] == [1]


def test_a_handler_is_written_down_as_running_when_it_lasts(setup: OneWorker) -> None:
    setup.send(1, 2)
    setup.begin(1)
    assert setup.worker_pool.inspect(NOW + MARK_AFTER / 2).unmarked == []
    assert [task.seq for task in setup.worker_pool.inspect(NOW + MARK_AFTER).unmarked] == [1]
    setup.worker.jobs[1].marked = True
    assert setup.worker_pool.inspect(NOW + 1).unmarked == []


def test_a_worker_that_retires_after_that_does_not_run_what_others_have_by_then(setup: OneWorker) -> None:
    setup.send(1, 2)
    setup.begin(1)
    setup.worker_pool.inspect(NOW)
    setup.worker_pool.finish_revoking(NOW + REVOCATION_SETTLES)
    setup.worker_pool.retire(setup.worker, "reload", NOW + 1)
    assert setup.writer.revoked_through == 2


def test_a_worker_that_has_just_ended_a_long_handler_is_not_replaced(setup: OneWorker) -> None:
    setup.send(1, 2, at=NOW - 60)
    setup.begin(1)
    setup.worker_pool.inspect(NOW)
    setup.writer.end(1, b"its message is on the way")
    setup.worker_pool.inspect(NOW + 1)
    del setup.worker.jobs[1]  # the message has come, and the next job has not begun
    setup.worker_pool.inspect(NOW + 2)
    setup.begin(2)
    setup.worker_pool.inspect(NOW + 3 + UNRESPONSIVE_AFTER)
    assert setup.told == []


def test_a_worker_that_begins_no_job_is_replaced(setup: OneWorker) -> None:
    setup.send(1)
    setup.worker_pool.inspect(NOW)
    setup.worker_pool.inspect(NOW + UNRESPONSIVE_AFTER)
    assert setup.told == []
    setup.worker_pool.inspect(NOW + UNRESPONSIVE_AFTER + 1)
    setup.worker_pool.inspect(NOW + UNRESPONSIVE_AFTER + 2)
    assert setup.told == [Replace(7, "unresponsive")]
