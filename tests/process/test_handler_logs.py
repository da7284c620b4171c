"""What handlers log through `logging`, in a real tree: once each, with the task, at --log-level."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tree import StartTree, eventually

HANDLERS = """
import logging
log = logging.getLogger("shop.mail")

@registry.processor("plain", workers=1, max_attempts=2, next_attempt_at=retry.static(0))
def plain(task: Task):
    log.debug("too fine")
    log.info("begun %s", task.external_id)
    if not task.attempts:
        raise ValueError("first")

@registry.processor("aio")
async def aio(task: Task):
    async def part():
        await asyncio.sleep(0.02)
        log.info("part of %s", task.external_id)
    log.info("begun %s", task.external_id)
    await asyncio.gather(part(), part())
    await asyncio.to_thread(log.info, "thread of %s", task.external_id)
"""
NAMES = tuple(f"a{number}" for number in range(5))


def lines_of_app(log: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in told if line.get("logger") == "shop.mail"]


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_each_line_has_its_task_also_where_coroutines_share_a_process(
    start_tree: StartTree, method: str
) -> None:
    tree = start_tree("--log-format", "json", "--start-method", method, app=HANDLERS)
    tree.database.enqueue("plain", "p")
    tree.database.enqueue("aio", *NAMES)
    eventually(tree.database.is_settled)
    assert tree.stop() == 0
    told = lines_of_app(tree.log)
    ids = {task.external_id: task.id for task in tree.database.tasks()}
    assert {(line["level"], line["role"]) for line in told} == {("info", "worker")}
    assert [(line["event"], line["attempt"]) for line in told if line["task_type"] == "plain"] == [
        ("begun p", 1),
        ("begun p", 2),
    ]
    assert len(told) == 2 + 4 * len(NAMES)
    for line in told:
        assert line["task_id"] == ids[line["event"].rpartition(" ")[2]]


def test_a_quiet_tree_is_quiet_and_an_apps_own_configuration_is_used_alone(start_tree: StartTree) -> None:
    quiet = start_tree("--log-level", "warning", app=HANDLERS)
    quiet.database.enqueue("plain", "p")
    eventually(quiet.database.is_settled)
    assert quiet.stop() == 0
    assert "begun" not in quiet.log

    own = "import logging; logging.basicConfig(level='INFO', format='own %(message)s')\n"
    tree = start_tree(app=own + HANDLERS)
    tree.database.enqueue("plain", "q")
    eventually(tree.database.is_settled)
    assert tree.stop() == 0
    assert [line for line in tree.log.splitlines() if "begun q" in line] == ["own begun q"] * 2
