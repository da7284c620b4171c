"""Which slots of a group may be filled, with the time as an argument."""

from __future__ import annotations

import pytest

from goque_supervisor.root.pools.worker_slots import WorkerSlots


@pytest.mark.parametrize(
    ("wanted", "taken", "canary", "filled"),
    [
        (3, set(), False, [0, 1, 2]),
        (3, {1}, False, [0, 2]),
        (3, {0, 1, 2}, False, []),
        (1, {0, 1, 2}, False, []),
        (3, set(), True, [0]),
        (3, {2}, True, []),
        (0, set(), True, []),
    ],
)
def test_empty_slots_are_filled_and_one_alone_while_workers_cannot_boot(
    wanted: int, taken: set[int], canary: bool, filled: list[int]
) -> None:
    assert WorkerSlots().to_fill(wanted, taken, 100.0, canary=canary) == filled


def test_a_slot_that_is_put_off_stays_empty_until_its_time_or_until_all_are_allowed() -> None:
    slots = WorkerSlots()
    slots.put_off(0, 105.0)
    assert slots.to_fill(2, set(), 104.9, canary=False) == [1]
    assert slots.to_fill(2, set(), 105.0, canary=False) == [0, 1]
    slots.put_off(0, 200.0)
    slots.allow_all()
    assert slots.to_fill(2, set(), 106.0, canary=False) == [0, 1]


def test_each_slot_has_a_backoff_of_its_own() -> None:
    slots = WorkerSlots()
    assert [slots.after_idle_exit(0, 0.0) for _exit in range(3)] == pytest.approx([0.0, 0.1, 0.2])
    assert slots.after_idle_exit(1, 0.0) == 0.0
