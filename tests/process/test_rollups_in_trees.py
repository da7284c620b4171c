"""A real tree writes what it has run, and a tree in which nothing runs writes nothing."""

from __future__ import annotations

import time

import pytest
from databases import on_every_backend
from tree import StartTree, eventually

from goque.describe.run_counts import STEPS, RunCounts, add_up, decode_runs, encode_runs, middle_of, quantile
from goque.storage import open_storage
from goque.storage.contract import RollupRow

APP = """
@registry.processor("ocr", workers=1, max_attempts=1)
def ocr(task: Task) -> None:
    time.sleep(0.3)
    if task.payload.get("fail"):
        raise ValueError("no")

@registry.processor("idle", workers=1)
def idle(task: Task) -> None:
    pass
"""


def written(url, step):
    storage = open_storage(url)
    try:
        return add_up(decode_runs(row.runs) for row in storage.rollups(step, 0, limit=100))
    finally:
        storage.close()


@on_every_backend
def test_the_cleaner_merges_the_rows_of_old_slots_and_deletes_the_oldest(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("idle", "first")
    eventually(tree.database.is_settled, within=30)
    storage = open_storage(tree.database.url)
    runs = encode_runs({"ocr": RunCounts({"done": 2})})
    hour = int(time.time()) // 3600 * 3600

    def rows_at(_now):
        slots = (hour - 2 * 3600, hour - 9 * 86400)
        return [RollupRow(3600, slot, writer, runs) for slot in slots for writer in ("a", "b")]

    storage.put_rollups(rows_at)
    assert tree.stop() == 0
    tree = start_tree(app=APP)
    until = hour - 3600
    eventually(
        lambda: [row.slot < until for row in storage.rollups(3600, 0, limit=9)].count(True) == 1, within=30
    )
    *_newer, merged = storage.rollups(3600, 0, limit=9)
    assert (merged.slot, merged.writer) == (hour - 2 * 3600, "")
    assert decode_runs(merged.runs)["ocr"].ends == {"done": 4}
    storage.close()


@on_every_backend
def test_the_end_of_a_tree_leaves_its_runs_in_the_table(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    for number in range(3):
        tree.database.enqueue("ocr", f"job-{number}", payload={"fail": number == 1})
    eventually(tree.database.is_settled, within=30)
    assert tree.stop() == 0
    for step in STEPS:
        runs = written(tree.database.url, step)
        assert set(runs) == {"ocr"}
        assert runs["ocr"].ends == {"done": 2, "attempts_left": 1}
        assert quantile(runs["ocr"].run, 0.5) == pytest.approx(0.3, rel=0.2)
        assert sum(runs["ocr"].wait.values()) == 3
        assert 0.2 < middle_of(max(runs["ocr"].wait)) < 60  # the tree was still starting
