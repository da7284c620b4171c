"""How many workers a pool wants."""

from __future__ import annotations

from goque_supervisor.fetcher.worker_demand import AT_ONCE, WAITS, WorkerDemand

NOW = 1000.0


def test_it_grows_while_work_waits_a_few_at_a_time_and_each_time_when_all_are_ready() -> None:
    demand = WorkerDemand(1, 20, 60.0)
    now = NOW
    sizes = []
    while demand.may_grow:
        assert not demand.grows(now, ready=demand.wanted - 1, work_waits=True)
        assert not demand.grows(now, ready=demand.wanted, work_waits=True)
        now += WAITS * 1.01
        assert demand.grows(now, ready=demand.wanted, work_waits=True)
        sizes.append(demand.wanted)
    assert sizes == [2, 4, 8, 8 + AT_ONCE, 8 + 2 * AT_ONCE, 20]
    assert not demand.grows(now + 1, ready=20, work_waits=True)


def test_work_that_a_worker_takes_a_moment_later_starts_no_other() -> None:
    demand = WorkerDemand(1, 4, 60.0)
    for turn in range(10):
        assert not demand.grows(NOW + turn * WAITS, ready=1, work_waits=turn % 2 == 0)
    assert demand.wanted == 1


def test_a_kind_without_any_worker_gets_one_at_once() -> None:
    demand = WorkerDemand(0, 2, 60.0)
    assert demand.grows(NOW, ready=0, work_waits=True)
    assert demand.wanted == 1


def test_it_shrinks_by_idle_workers_down_to_the_fewest() -> None:
    demand = WorkerDemand(2, 4, 60.0)
    demand.found(9)
    assert demand.wanted == 4
    assert not demand.shrinks(59.0)
    assert demand.shrinks(60.0)
    assert demand.shrinks(60.0)
    assert not demand.shrinks(999.0)
    assert demand.wanted == 2


def test_a_pool_whose_fewest_are_its_most_never_changes() -> None:
    demand = WorkerDemand(2, 2, 60.0)
    assert (demand.is_elastic, demand.may_grow) == (False, False)
