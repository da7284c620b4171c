"""A real tree records where and when a long run went well."""

from __future__ import annotations

from databases import on_every_backend
from tree import StartTree, eventually

APP = """
@registry.processor("crawl", workers=1)
def crawl(task: Task) -> None:
    note("start", task.external_id, os.getpid())
    time.sleep(task.payload)

@registry.processor("acrawl", workers=1)
async def acrawl(task: Task) -> None:
    note("start", task.external_id, os.getpid())
    await asyncio.sleep(task.payload)
"""


@on_every_backend
def test_a_long_run_is_on_record_and_a_short_one_is_not(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("crawl", "long", payload=1.1)
    tree.database.enqueue("acrawl", "async", payload=1.1)
    tree.database.enqueue("crawl", "short", payload=0)
    eventually(tree.database.is_settled, within=30)
    storage = tree.database.queue.storage
    for name in ("long", "async"):
        task = tree.database.task(name)
        [run] = storage.attempts(task.id)
        assert (run.failed.cause, run.failed.worker_pid) == ("done", tree.started(name)[-1])
        assert run.node
        assert run.started_at is not None
        assert 1.1 <= (run.ended_at - run.started_at).total_seconds() < 30
        assert tree.database.attempts(task) == []
    assert storage.attempts(tree.database.task("short").id) == []
