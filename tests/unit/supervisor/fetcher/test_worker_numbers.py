"""How many workers a pool wants when the ones it has are at long handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goque_supervisor.fetcher.worker_demand import WAITS
from goque_supervisor.fetcher.worker_handle import WAITS_BEHIND
from goque_supervisor.fetcher.worker_numbers import WorkerNumbers
from goque_supervisor.ipc.control import WorkersWanted
from unit.supervisor.fetcher.one_worker import NOW, OneWorker


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[OneWorker]:
    made = OneWorker(tmp_path)
    yield made
    made.close()


def follow(setup: OneWorker, *, has_due: bool, at: float = NOW) -> list[Any]:
    """Follow the work of a pool of one to two workers for a moment; return what the root was told."""
    claims: Any = SimpleNamespace(has_due=lambda _now, *, is_async: has_due and not is_async)
    numbers = WorkerNumbers(
        {"plain": [1, 2], "asynchronous": [0, 0]},
        60.0,
        worker_pool=setup.worker_pool,
        claims=claims,
        tell_root=setup.told.append,
    )
    for now in (at, at + WAITS * 2):
        numbers.follow_the_work(now, may_claim=True)
    return list(setup.told)


def test_another_worker_is_wanted_for_a_job_that_waits_in_the_only_one_behind_a_long_handler(
    setup: OneWorker,
) -> None:
    setup.send(1, 2, at=NOW)
    assert follow(setup, has_due=False, at=NOW + WAITS_BEHIND / 2) == []
    assert follow(setup, has_due=False, at=NOW + WAITS_BEHIND * 2) == [WorkersWanted(2, 0)]


def test_no_other_worker_is_wanted_for_the_long_handler_alone(setup: OneWorker) -> None:
    setup.send(1, at=NOW)
    assert follow(setup, has_due=False, at=NOW + 60) == []


def test_another_worker_is_wanted_for_due_tasks_while_the_only_one_ends_after_its_task(
    setup: OneWorker,
) -> None:
    setup.send(1, at=NOW)
    setup.worker.retiring = "reload"
    assert follow(setup, has_due=False) == []
    assert follow(setup, has_due=True) == [WorkersWanted(2, 0)]
