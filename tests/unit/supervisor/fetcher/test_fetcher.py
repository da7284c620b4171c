"""What a fetcher makes of a result that it knows already: the worker must not forget it before it is committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque.outcome import Outcome, OutcomeKind
from goque_supervisor.fetcher.fetcher import Fetcher
from goque_supervisor.ipc.messages import EPOCH_BITS, Result
from goque_supervisor.metrics.counters import Counters, read_tallies
from unit.supervisor.fetcher.shift import NOW, Shift

DONE = Outcome(OutcomeKind.DONE)


@pytest.fixture
def shift(tmp_path: Path) -> Iterator[Shift]:
    made = Shift(tmp_path)
    yield made
    made.close()


@pytest.fixture
def fetcher(shift: Shift, tmp_path: Path) -> Fetcher:
    made = Fetcher.__new__(Fetcher)  # without a database, and not running
    made.holdings, made.crew = shift.holdings, shift.crew
    made.crew.epoch = 1
    made.counters = Counters(tmp_path / "mail.counters", "mail")
    return made


def test_a_result_read_in_the_black_box_is_acknowledged_when_it_is_committed_not_when_its_message_comes(
    shift: Shift, fetcher: Fetcher
) -> None:
    shift.send(1, at=NOW)
    (held,) = shift.mate.jobs.values()
    shift.holdings.by_id[held.row.id] = held
    fetcher._take_result(shift.mate, Result(1, DONE))
    fetcher._take_result(shift.mate, Result(1, DONE))
    assert shift.holdings.ended == [held]
    assert shift.mate.acknowledged == []
    shift.holdings.forget(held)
    assert shift.mate.acknowledged == [1]


def test_a_result_that_an_earlier_fetcher_has_committed_is_acknowledged_when_it_comes_again(
    shift: Shift, fetcher: Fetcher
) -> None:
    fetcher._take_result(shift.mate, Result(1, DONE))
    assert shift.mate.acknowledged == [1]
    assert shift.holdings.ended == []


def test_a_result_of_a_job_that_was_never_sent_is_counted_and_dropped(
    shift: Shift, fetcher: Fetcher, tmp_path: Path
) -> None:
    for forged in (0, -1, (1 << EPOCH_BITS) + 1):
        fetcher._take_result(shift.mate, Result(forged, DONE))
    assert shift.mate.acknowledged == []
    assert read_tallies(tmp_path)["mail"]["dropped_messages"] == 3
