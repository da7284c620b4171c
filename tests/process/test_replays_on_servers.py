"""`goque replay` on each database, with tasks that a real tree has failed: nothing in any table changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from databases import Database, on_every_backend
from tree import StartTree

APP = """
@registry.processor("convert", max_attempts=1)
def convert(task: Task) -> Any:
    page = task.step("page", lambda: task.payload["page"])
    if os.environ.get("MENDED") and page != 3:
        add_more(task)
        return page
    if page == 2:
        os._exit(3)
    raise ValueError(page)

def add_more(task: Task) -> None:
    goque.follow_up("convert", {"page": 9})
    registry.queue.enqueue("convert", {"page": 10}, external_id="more")
    registry.queue.cancel_task(task.id)

@registry.processor("convert_async", max_attempts=1)
async def convert_async(task: Task) -> Any:
    if not os.environ.get("MENDED"):
        raise ValueError(task.payload)
    await registry.async_queue.enqueue("convert", {"page": 11})
    return await task.astep("page", lambda: 7)
"""
TABLES = ("goque_task", "goque_attempt", "goque_step", "goque_need", "goque_flow", "goque_flow_task")


def contents(database: Database) -> dict[str, Any]:
    return {table: sorted(map(repr, database.execute(f"SELECT * FROM {table}"))) for table in TABLES}


def replay(directory: Path, database: Database, *arguments: str, code: int, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "goque.cli", "replay", *arguments, "--database-url", database.url],
        cwd=directory,
        env={
            **os.environ,
            "GOQUE_APP": "app:registry",
            "GOQUE_TEST_JOURNAL": str(directory),
            "PYTHONPATH": str(Path(__file__).parent),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@on_every_backend
@pytest.mark.fault(15)
def test_failed_tasks_of_a_tree_are_replayed_beside_the_table(
    start_tree: StartTree, database: Database, tmp_path: Path
) -> None:
    tasks = {
        page: database.enqueue("convert", f"page-{page}", payload={"page": page})[0] for page in (1, 2, 3)
    }
    [other] = database.enqueue("convert_async", "other", payload={"page": 4})
    start_tree("--drain", app=APP).wait()
    assert database.counts() == {"attempts_left": 4}
    before = contents(database)
    table = replay(tmp_path, database, "--failed", code=0)
    assert "4 tasks replayed: 0 fixed, 4 same failure, 0 new failure" in table
    table = replay(tmp_path, database, "--failed", "--parallel", "2", code=0, MENDED="1")
    assert "4 tasks replayed: 3 fixed, 1 same failure, 0 new failure" in table
    crashed = json.loads(replay(tmp_path, database, tasks[2].id, "--json", code=1))
    assert (crashed["error"], crashed["same_failure"]) == ("worker crashed: exit code 3", True)
    assert crashed["steps"] == {"recorded_before": 1, "ran": []}
    mended = json.loads(replay(tmp_path, database, "page-2", "--json", code=0, MENDED="1"))
    assert [one["payload"]["page"] for one in (*mended["follow_ups"], *mended["enqueued"])] == [9, 10]
    assert mended["changes"] == [{"action": "cancel", "id": tasks[2].id}]
    mended = json.loads(replay(tmp_path, database, other.id, "--json", code=0, MENDED="1"))
    assert (mended["result"], mended["enqueued"][0]["payload"]) == (7, {"page": 11})
    assert contents(database) == before
