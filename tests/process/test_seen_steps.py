"""What people see of the steps of a real tree: metrics by name, and the progress of running tasks."""

from __future__ import annotations

import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tree import StartTree, eventually, free_port, get

from goque.describe.node_info import decode_info
from goque.storage import open_storage

APP = """
@registry.processor("ocr", workers=1, min_workers=1)
def ocr(task: Task) -> None:
    task.step("download", time.sleep, 0.05)
    for page in task.each("page", range(5)):
        pass
    task.progress(0.5, "half\\nof it")
    hold(task)

@registry.processor("plain", workers=1)
def plain(task: Task) -> None:
    pass
"""


def steps(port: int, name: str) -> dict[str, float]:
    """Return a metric by the names of the steps."""
    status, text = get(port, "/metrics")
    assert status == 200
    return {
        sample.labels["step"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels["task_type"] == "ocr"
    }


@pytest.mark.fault(10)
def test_steps_are_counted_by_name_also_after_the_fetcher_died(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    eventually(lambda: get(port, "/readyz")[0] == 200)
    assert steps(port, "goque_steps_total") == {}
    tree.database.enqueue("ocr", "first")
    eventually(lambda: steps(port, "goque_steps_total") == {"download": 1, "page-*": 5})
    assert 0.05 <= steps(port, "goque_step_seconds_total")["download"] < 10
    for pid in tree.pids("fetcher"):
        os.kill(pid, signal.SIGKILL)
    tree.let_go("first", "second")
    tree.database.enqueue("ocr", "second")
    eventually(tree.database.is_settled, within=30)
    eventually(lambda: steps(port, "goque_steps_total") == {"download": 2, "page-*": 10})


def test_the_report_of_a_node_has_the_progress_of_what_it_runs(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    [task] = tree.database.enqueue("ocr", "held")
    storage = open_storage(tree.database.url)

    def told() -> list[tuple[str, float | None, str]]:
        infos = [decode_info(node.info) for node in storage.nodes()]
        workers = [worker for info in infos if info for pool in info.pools for worker in pool.workers]
        return [(run.task_id, run.progress, run.note) for worker in workers for run in worker.runs]

    eventually(lambda: told() == [(task.id, 0.5, "half of it")], within=20)
    tree.let_go("held")
    eventually(tree.database.is_settled)
    storage.close()
