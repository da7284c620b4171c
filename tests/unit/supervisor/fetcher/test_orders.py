"""What each order of the root makes a fetcher do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque.outcome import OutcomeKind
from goque_supervisor.fetcher.dead_workers import DeadWorkers
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.orders import OrderHandler, Orders
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.ipc.control import (
    Beat,
    CheckIdle,
    Drain,
    Message,
    NewOwner,
    PauseClaiming,
    Retire,
    Stop,
    WorkerExited,
)
from unit.rows import row
from unit.supervisor.fetcher.one_worker import NOW, OneWorker, task_id, types_with


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[OneWorker]:
    made = OneWorker(tmp_path)
    yield made
    made.close()


class Obedience:
    """An order handler with one worker that has a job, and one task that waits."""

    def __init__(self, setup: OneWorker) -> None:
        self.orders = Orders(owner="node-1")
        self.schedule = Schedule()
        self.schedule.claim_after(NOW, 5.0)
        self.schedule.inspect_at = NOW + 5.0
        self.in_flight: InFlight = setup.in_flight
        self.in_flight.add([row(id="waiting", claimed_by="node-1")])
        setup.send(1)
        dead_workers = DeadWorkers(self.in_flight, types_with(), setup.told.append)
        self.handler = OrderHandler(
            self.orders, self.in_flight, setup.worker_pool, dead_workers, self.schedule
        )

    @property
    def released(self) -> list[str]:
        ended = self.in_flight.ended
        return [task.row.id for task in ended if task.outcome and task.outcome.kind is OutcomeKind.UNSTARTED]


@pytest.mark.parametrize(
    ("orders", "may"),
    [
        (Orders(), False),
        (Orders(owner="node-1"), True),
        (Orders(owner="node-1", draining=True), False),
        (Orders(owner="node-1", paused=True), False),
        (Orders(owner="node-1", idle_check=3), True),
    ],
    ids=["no lease", "a lease", "draining", "paused", "asked whether it is idle"],
)
def test_a_fetcher_claims_under_a_lease_unless_it_drains_or_is_paused(orders: Orders, may: bool) -> None:
    assert orders.may_claim is may
    assert orders.may_run(ClaimedTask(row(claimed_by="node-1"))) is may
    assert not orders.may_run(ClaimedTask(row(claimed_by="node-0")))


@pytest.mark.parametrize(
    ("message", "released", "revoked"),
    [
        (NewOwner("node-1"), [], False),
        (NewOwner("node-2"), ["waiting"], True),
        (NewOwner(""), ["waiting"], True),
        (PauseClaiming(hold=True), ["waiting"], False),
        (PauseClaiming(hold=False), [], False),
        (Drain(), ["waiting"], True),
        (Retire(7, "reload"), [], True),
        (Retire(8, "reload"), [], False),
        (CheckIdle(3), [], False),
        (Stop(), [], False),
    ],
    ids=str,
)
def test_an_order_releases_what_has_not_started_and_may_not_start_here(
    setup: OneWorker,
    message: Message,
    released: list[str],
    revoked: bool,
) -> None:
    obedience = Obedience(setup)
    obedience.handler.obey(message)
    assert obedience.released == released
    assert bool(setup.worker.revoked_at) is revoked
    assert (obedience.schedule.inspect_at == 0.0) is revoked
    assert obedience.schedule.claim_at == 0.0


def test_orders_are_remembered(setup: OneWorker) -> None:
    obedience = Obedience(setup)
    for message in (CheckIdle(3), PauseClaiming(hold=True), NewOwner("node-2"), Drain(), Stop()):
        obedience.handler.obey(message)
    assert obedience.orders == Orders(
        "node-2",
        stopping=True,
        draining=True,
        paused=True,
        idle_check=3,
        all_owners=["node-2"],
        is_renamed=True,
    )


def test_the_jobs_of_a_worker_that_exited_are_settled_and_it_gets_no_more(
    setup: OneWorker, tmp_path: Path
) -> None:
    obedience = Obedience(setup)
    obedience.handler.obey(WorkerExited(7, 4711, str(tmp_path / "w.box"), None, 9))
    assert setup.worker_pool.by_incarnation(7) is None
    assert [task.row.id for task in setup.in_flight.waiting(is_async=False)] == ["waiting", task_id(1)]


def test_a_message_that_is_no_order_is_logged_and_dropped(
    setup: OneWorker, caplog: pytest.LogCaptureFixture
) -> None:
    obedience = Obedience(setup)
    obedience.handler.obey(Beat())
    assert obedience.orders == Orders("node-1")
    assert "unexpected Beat" in caplog.text
