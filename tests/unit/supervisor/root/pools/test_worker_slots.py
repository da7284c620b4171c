"""Which slots of a group may be filled, with the time as an argument."""

from __future__ import annotations

import pytest

from goque_supervisor.root.pools.worker_slots import WorkerSlots
from goque_supervisor.root.tree import PoolGroupSpec


def spec(
    workers: int, fewest: int | None = None, *, mixed: bool = False, spawns: bool = False
) -> PoolGroupSpec:
    processors = [{"type": "plain", "is_async": False}] + [{"type": "awaits", "is_async": True}] * mixed
    options = {"workers": workers, "async_workers": 2, "min_workers": fewest}
    return PoolGroupSpec("pool", tuple(processors), options, ("public", "secret"), spawns=spawns)


def slots_of(pool: PoolGroupSpec, plain: int = 0, asynchronous: int = 0) -> WorkerSlots:
    slots = WorkerSlots()
    slots.want(pool, plain, asynchronous)
    return slots


@pytest.mark.parametrize(
    ("wanted", "taken", "canary", "filled"),
    [
        (3, set(), False, [0, 1, 2]),
        (3, {1}, False, [0, 2]),
        (3, {0, 1, 2}, False, []),
        (1, {0, 1, 2}, False, []),
        (3, set(), True, [0]),
        (3, {2}, True, []),
    ],
)
def test_empty_slots_are_filled_and_one_alone_while_workers_cannot_boot(
    wanted: int, taken: set[int], canary: bool, filled: list[int]
) -> None:
    pool = spec(wanted, wanted)
    assert [*slots_of(pool).to_fill(pool, taken, 100.0, canary=canary)] == filled


def test_a_slot_that_is_put_off_stays_empty_until_its_time_or_until_all_are_allowed() -> None:
    pool = spec(2, 2)
    slots = slots_of(pool)
    slots.put_off(0, 105.0)
    assert [*slots.to_fill(pool, set(), 104.9, canary=False)] == [1]
    assert [*slots.to_fill(pool, set(), 105.0, canary=False)] == [0, 1]
    slots.put_off(0, 200.0)
    slots.allow_all()
    assert [*slots.to_fill(pool, set(), 106.0, canary=False)] == [0, 1]


@pytest.mark.parametrize(
    ("plain", "asynchronous", "taken", "filled"),
    [
        (0, 0, set(), [0]),
        (3, 1, set(), [0, 1, 2, 4]),
        (9, 9, {1, 5}, [0, 2, 3, 4]),
        (2, 0, {3}, [0]),
        (1, 0, {3}, []),
    ],
)
def test_so_many_workers_of_each_kind_run_as_are_wanted_within_the_bounds_of_the_pool(
    plain: int, asynchronous: int, taken: set[int], filled: list[int]
) -> None:
    pool = spec(4, fewest=1, mixed=True)
    slots = slots_of(pool, plain, asynchronous)
    assert [*slots.to_fill(pool, taken, 100.0, canary=False)] == filled


@pytest.mark.parametrize(
    ("mixed", "spawns", "filled"),
    [(False, False, [0]), (True, False, [0]), (False, True, [0, 1, 2]), (True, True, [0, 1, 2, 3, 4])],
)
def test_without_min_workers_one_runs_where_workers_are_forked_and_all_where_each_imports_the_app(
    mixed: bool, spawns: bool, filled: list[int]
) -> None:
    pool = spec(3, mixed=mixed, spawns=spawns)
    assert [*slots_of(pool).to_fill(pool, set(), 100.0, canary=False)] == filled


def test_each_slot_has_a_backoff_of_its_own() -> None:
    slots = WorkerSlots()
    assert [slots.after_idle_exit(0, 0.0) for _exit in range(3)] == pytest.approx([0.0, 0.1, 0.2])
    assert slots.after_idle_exit(1, 0.0) == 0.0
