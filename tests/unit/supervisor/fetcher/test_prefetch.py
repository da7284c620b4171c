"""How many jobs a worker is sent ahead, and which worker gets the next one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque_supervisor.fetcher.prefetch import AHEAD, Pace, Room, distribute
from goque_supervisor.settings import MAX_PREFETCH


@pytest.mark.parametrize(
    ("durations", "concurrency", "number"),
    [
        ([], 1, 1),
        ([], 100, 100),
        ([10.0], 1, 1),
        ([AHEAD * 1.01], 1, 1),
        ([AHEAD], 1, 2),
        ([AHEAD / 5], 1, 6),
        ([AHEAD / 25], 1, 26),
        ([AHEAD / (MAX_PREFETCH * 2)], 1, 1 + MAX_PREFETCH),
        ([0.0], 1, 1 + MAX_PREFETCH),
        ([AHEAD * 40], 100, 102),
        ([0.0, AHEAD * 2 / 5], 1, 6),
    ],
)
def test_quick_handlers_are_sent_more_ahead_and_slow_ones_nothing(
    durations: list[float], concurrency: int, number: int
) -> None:
    pace = Pace()
    if durations:
        pace.note("mail", durations)
    assert Room(concurrency).jobs(pace.mean("mail")) == number


def test_the_pace_follows_handlers_that_change_their_ways() -> None:
    pace = Pace()
    pace.note("mail", [AHEAD / 25])
    numbers = []
    for _ in range(30):
        pace.note("mail", [2.0])
        numbers.append(Room(1).jobs(pace.mean("mail")))
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] < 27
    assert numbers[-1] == 1


def test_a_type_that_has_not_run_yet_is_taken_for_one_like_the_others() -> None:
    pace = Pace()
    assert pace.mean("new") is None
    pace.note("mail", [0.25])
    assert (pace.mean("new"), pace.mean("mail")) == (0.25, 0.25)


@given(st.integers(1, 20), st.floats(1e-7, 10), st.integers(0, 2000))
def test_what_is_sent_bit_by_bit_is_what_is_sent_at_once(concurrency: int, mean: float, sent: int) -> None:
    at_once = Room(concurrency).jobs(mean)
    room = Room(concurrency)
    first = min(sent, at_once)
    room.take(first, mean)
    assert abs(room.jobs(mean) - (at_once - first)) <= 1  # rounding


def test_a_backlog_of_quick_jobs_leaves_room_for_a_slow_one_and_a_slow_one_for_nothing_behind_it() -> None:
    quick, slow = AHEAD / 100, AHEAD * 20
    room = Room(1)
    room.take(90, quick)
    assert room.jobs(slow) == 1
    room.take(1, slow)
    assert (room.jobs(slow), room.jobs(quick)) == (0, 0)
    full = Room(1)
    full.take(full.jobs(quick), quick)
    assert (full.jobs(quick), full.jobs(slow)) == (0, 0)


@pytest.mark.parametrize(
    ("loads", "rooms", "jobs", "given"),
    [
        ([], [], 5, []),
        ([0], [1], 0, [0]),
        ([0, 0], [5, 5], 4, [2, 2]),
        ([0, 0, 0], [9, 9, 9], 4, [2, 1, 1]),
        ([3, 0], [9, 9], 3, [0, 3]),
        ([3, 0], [9, 9], 5, [1, 4]),
        ([0, 0], [1, 9], 6, [1, 5]),
        ([0, 0], [0, 2], 9, [0, 2]),
        ([7], [0], 9, [0]),
    ],
)
def test_the_next_job_goes_to_the_least_loaded_worker_with_room(
    loads: list[int], rooms: list[int], jobs: int, given: list[int]
) -> None:
    assert distribute(loads, rooms, jobs) == given


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(0, 300))
def test_no_worker_gets_more_than_its_room_and_none_waits_while_there_is_room(
    workers: list[tuple[int, int]], jobs: int
) -> None:
    loads, rooms = [load for load, _ in workers], [room for _, room in workers]
    given_out = distribute(loads, rooms, jobs)
    assert all(0 <= got <= room for got, room in zip(given_out, rooms, strict=True))
    assert sum(given_out) == min(jobs, sum(rooms))
    after = [load + got for load, got in zip(loads, given_out, strict=True)]
    for index, got in enumerate(given_out):
        if got:  # whoever got something was not ahead of one who still has room
            others = [after[i] for i in range(len(after)) if given_out[i] < rooms[i]]
            assert after[index] <= min(others, default=after[index]) + 1
