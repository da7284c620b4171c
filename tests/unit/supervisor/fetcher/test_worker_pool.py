"""What a fetcher takes back from a worker that is at a long handler, read from its black box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque_supervisor.fetcher.worker_pool import MARK_AFTER, REVOCATION_SETTLES
from unit.supervisor.fetcher.shift import NOW, Shift


@pytest.fixture
def shift(tmp_path: Path) -> Iterator[Shift]:
    made = Shift(tmp_path)
    yield made
    made.close()


def test_what_waits_behind_a_long_handler_is_taken_back_for_ever(shift: Shift) -> None:
    shift.send(1, 2, 3, 4)
    shift.begin(1)
    shift.worker.end(1, b"its message waits for the next one")
    shift.begin(2)
    for turn in range(3):
        now = NOW + turn
        shift.crew.look(now)
        shift.crew.finish_taking_back(now + REVOCATION_SETTLES)
    assert sorted(shift.mate.jobs) == [1, 2]
    assert [held.seq for held in shift.holdings.waiting] == [3, 4]
    assert shift.worker.revoked_through == 4


def test_a_worker_that_only_has_an_answer_to_send_has_nothing_taken_back(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    shift.worker.end(1, b"its message waits for the next one")
    shift.begin(2)
    unmarked, unheard = shift.crew.look(NOW)
    assert unmarked == []
    assert unheard == [(shift.mate, 1, b"its message waits for the next one")]
    assert shift.worker.revoked_through == 0
    assert shift.crew.room(NOW) > 0


def test_a_handler_is_written_down_as_running_when_it_lasts(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    assert shift.crew.look(NOW + MARK_AFTER / 2)[0] == []
    assert [held.seq for held in shift.crew.look(NOW + MARK_AFTER)[0]] == [1]
    shift.mate.jobs[1].marked = True
    assert shift.crew.look(NOW + 1)[0] == []


def test_a_worker_that_retires_after_that_does_not_run_what_others_have_by_then(shift: Shift) -> None:
    shift.send(1, 2)
    shift.begin(1)
    shift.crew.look(NOW)
    shift.crew.finish_taking_back(NOW + REVOCATION_SETTLES)
    shift.crew.retire(shift.mate, "reload", NOW + 1)
    assert shift.worker.revoked_through == 2
