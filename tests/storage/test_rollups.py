"""Counts of runs by slots of time: written, replaced, merged and deleted."""

from __future__ import annotations

from datetime import timedelta

from goque.describe.run_counts import RunCounts, decode_runs, encode_runs, merge_runs
from goque.storage.contract import RollupRow

STEP = 600
NOON = 1_790_000_400
"""The start of a slot."""


def row(slot, writer, done=1, step=STEP):
    runs = {"mail": RunCounts({"done": done}, {40: done}, {12: done})}
    return RollupRow(step, slot, writer, encode_runs(runs))


def put(storage, *rows):
    storage.put_rollups(lambda _now: rows)


def counted(storage, step=STEP):
    return [
        (one.slot, one.writer, decode_runs(one.runs)["mail"].ends["done"])
        for one in storage.rollups(step, 0, limit=100)
    ]


def test_a_row_is_replaced_and_the_newest_comes_first(storage):
    put(storage, row(NOON, "a"), row(NOON + STEP, "a", 2))
    put(storage, row(NOON, "b", 4), row(NOON + STEP, "a", 3))
    assert counted(storage) == [(NOON + STEP, "a", 3), (NOON, "a", 1), (NOON, "b", 4)]
    assert counted(storage, 3600) == []
    assert [one.slot for one in storage.rollups(STEP, NOON + 1, limit=9)] == [NOON + STEP]
    assert len(storage.rollups(STEP, 0, limit=2)) == 2


def test_the_rows_are_made_by_the_clock_of_the_database(storage, clock):
    seen = []

    def rows_at(now):
        seen.append(now)
        return []

    storage.put_rollups(rows_at)
    clock.advance(7200)
    storage.put_rollups(rows_at)
    assert seen[1] - seen[0] == timedelta(hours=2)


def at(storage):
    """Return the start of the present slot by the database's clock."""
    seen = []
    storage.put_rollups(lambda now: seen.append(now) or [])
    return int(seen[0].timestamp()) // STEP * STEP


def test_slots_that_are_over_are_merged_once(storage, other):
    now = at(storage)
    old, older = now - 2 * STEP, now - 3 * STEP
    put(storage, row(now, "a"), row(older, "a", 1), row(older, "b", 2), row(older, "c", 4), row(old, "b", 8))
    assert storage.merge_rollups(STEP, 120.0, merge_runs, limit=1) == 1
    assert counted(storage) == [(now, "a", 1), (old, "b", 8), (older, "", 7)]
    assert storage.merge_rollups(STEP, 120.0, merge_runs, limit=9) == 1
    assert other.merge_rollups(STEP, 120.0, merge_runs, limit=9) == 0
    assert counted(storage) == [(now, "a", 1), (old, "", 8), (older, "", 7)]
    put(storage, row(older, "late", 16))
    assert storage.merge_rollups(STEP, 120.0, merge_runs, limit=9) == 1
    assert counted(storage) == [(now, "a", 1), (old, "", 8), (older, "", 23)]


def test_a_slot_that_has_just_ended_is_left_to_its_writers(storage):
    now = at(storage)
    put(storage, row(now - STEP, "a"), row(now - STEP, "b"))
    assert storage.merge_rollups(STEP, 2 * STEP, merge_runs, limit=9) == 0
    assert len(counted(storage)) == 2


def test_old_slots_are_deleted_in_batches_and_by_their_length(storage):
    now = at(storage)
    for number in range(5):
        put(storage, row(now - number * STEP, "a"), row(now - number * STEP, "b"))
    put(storage, row(now - 4 * STEP, "a", step=3600))
    assert storage.delete_rollups(STEP, 2.5 * STEP, limit=2) == 2
    assert storage.delete_rollups(STEP, 2.5 * STEP, limit=100) == 2
    assert storage.delete_rollups(STEP, 2.5 * STEP, limit=100) == 0
    assert {slot for slot, _writer, _done in counted(storage)} >= {now, now - STEP}
    assert len(counted(storage, 3600)) == 1


def test_what_somebody_else_has_written_counts_as_nothing(storage):
    now = at(storage)
    for number, text in enumerate(["", "{", "[]", '{"mail": 1}', '{"mail": {"ends": {"done": -1}}}']):
        put(storage, RollupRow(STEP, now - 3 * STEP, str(number), text))
    put(storage, row(now - 3 * STEP, "a", 2))
    assert storage.merge_rollups(STEP, 120.0, merge_runs, limit=9) == 1
    assert counted(storage) == [(now - 3 * STEP, "", 2)]
