"""Ten thousand results wait for a database that takes no writes: all are kept, no task begins, memory is bounded."""

from __future__ import annotations

import psutil
import pytest
from databases import Database, on_every_backend
from tree import StartTree, eventually

COUNT = 10_000
APP = """
GO = Path(os.environ["GOQUE_TEST_JOURNAL"]) / "all.go"

@registry.processor("burst", workers=2, concurrency=5000, fetch_max_tasks=10_000, fetch_tick=0.1, timeout=100)
async def burst(task: Task):
    note("start", task.external_id, os.getpid())
    while not GO.exists():
        await asyncio.sleep(0.5)
    note("end", task.external_id, os.getpid())
"""


def count(tree, word: str) -> int:
    return sum(line[0] == word for line in tree.journal())


@on_every_backend
@pytest.mark.fault(33)
@pytest.mark.timeout(240)
def test_ten_thousand_results_at_once_wait_for_a_database_that_takes_no_writes(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=APP)
    database.enqueue("burst", *(f"t{n}" for n in range(COUNT)))
    eventually(lambda: count(tree, "start") == COUNT, within=90)
    fetcher = psutil.Process(tree.pid("fetcher"))
    before = fetcher.memory_info().rss
    with database.locked():
        tree.let_go("all")
        eventually(lambda: count(tree, "end") == COUNT, within=60)
        eventually(lambda: "keep results" in tree.log, within=60)
        grown = fetcher.memory_info().rss - before
    database.enqueue("burst", *(f"more{n}" for n in range(100)))
    eventually(database.is_settled, within=90)
    assert database.counts("burst") == {"done": COUNT + 100}
    assert fetcher.pid == tree.pid("fetcher")
    assert grown < 200 << 20
    tree.assert_each_ran(1, [f"t{n}" for n in range(COUNT)])
