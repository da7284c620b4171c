"""A real tree writes what it has run, and a tree in which nothing runs writes nothing."""

from __future__ import annotations

import pytest
from databases import on_every_backend
from tree import StartTree, eventually

from goque.describe.run_counts import STEPS, add_up, decode_runs, middle_of, quantile
from goque.storage import open_storage

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
        assert 0.2 < middle_of(max(runs["ocr"].wait)) < 10
