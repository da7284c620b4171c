"""Two supervisors on one database: each task runs exactly once, and both have their share."""

from __future__ import annotations

from collections import Counter

from databases import Database, on_every_backend
from tree import StartTree, eventually

APP = """
@registry.processor("quick", workers=2, min_workers=2, concurrency=20, fetch_tick=0.1)
async def quick(task: Task):
    note("start", task.external_id, os.getpid())
    await asyncio.sleep(0.001)
    note("end", task.external_id, os.getpid())
"""


@on_every_backend
def test_ten_thousand_tasks_over_two_supervisors_run_exactly_once_each(
    start_tree: StartTree, database: Database
) -> None:
    names = [f"t{n}" for n in range(10_000)]
    trees = [start_tree(app=APP, apart=True), start_tree(apart=True)]
    for tree in trees:
        eventually(lambda tree=tree: len(tree.workers("quick")) == 2)
    database.enqueue("quick", *names[:5000])
    database.enqueue("quick", *names[5000:])
    eventually(database.is_settled, within=90)
    journal = trees[0].journal()
    assert Counter(line[1] for line in journal if line[0] == "start") == Counter(names)
    assert Counter(line[1] for line in journal if line[0] == "end") == Counter(names)
    assert {(task.status, task.attempts, task.errors) for task in database.tasks()} == {("done", 0, None)}
    assert sorted(task.external_id for task in database.tasks()) == sorted(names)
    runners = Counter(int(line[2]) for line in journal if line[0] == "start")
    shares = [sum(runners[pid] for pid in tree.workers("quick")) for tree in trees]
    assert sum(shares) == len(names)
    assert min(shares) > len(names) / 10, f"one tree was starved: {shares}"
