"""What the root reports of its tree."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goque_supervisor.ipc.control import Replace
from unit.supervisor.root.simulated_tree import BEGIN, SimulatedTree, describe_app


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail", workers=2))
    tree.comes_up()
    return tree


def block_of(tree: SimulatedTree) -> tuple[str, list[str]]:
    return tree.root._status.describe_tree(tree.now)


def test_the_line_says_what_holds_for_the_whole_tree(tree: SimulatedTree) -> None:
    before = f"the tree of pid {os.getpid()}: "
    assert block_of(tree)[0] == f"{before}lease held as node-1, restarts: none"
    tree.root.on_signal(signal.SIGUSR2)
    tree.ends("healer")
    tree.pass_time(30.0)
    tree.root.check_lease()
    said = "quiet until the next SIGUSR2, lease LOST as node-1, restarts: 1 of healer"
    assert block_of(tree)[0] == f"{before}{said}"
    tree.root.stop("SIGTERM")
    assert block_of(tree)[0].startswith(f"{before}stopping, quiet")


def test_a_tree_without_a_lease_says_so(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    assert "no lease yet" in block_of(tree)[0]


def test_the_block_has_a_line_for_every_process_and_every_job_that_runs(tree: SimulatedTree) -> None:
    tree.runs("worker[mail:1]", 1)
    box: Any = tree.child("worker[mail:1]").box
    box.running[1] = SimpleNamespace(task_id="task-1", started=tree.now, deadline=tree.now + 30.0)
    tree.pass_time(2.0)
    block = block_of(tree)[1]
    assert block[:3] == [
        "guard pid 99",
        "actors nursery pid 97, generation 1",
        "app nursery pid 98, generation 1",
    ]
    assert "type 'mail': 2 of 2 workers" in block
    assert block[-1] == "    runs task-1 for 2.0s, times out in 28.0s"
    for child in tree.processes.living():
        (line,) = [line for line in block if line.strip().startswith(child.spec.name)]
        assert f"pid {child.pid}, up 2s" in line


def test_what_is_on_the_way_out_says_why(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", Replace(tree.child("worker[mail:0]").key, "memory"))
    tree.processes.kill(tree.child("worker[mail:1]"), "timeout")
    block = "\n".join(block_of(tree)[1])
    assert "to be replaced: memory, killed in 5s if it has not stopped" in block
    assert "killed: timeout" in block


def test_the_list_has_every_process_that_has_a_pid_and_the_state_of_workers(tree: SimulatedTree) -> None:
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    tree.sends("fetcher[mail]", Replace(tree.child("worker[mail:1]").key, "tasks"))
    listed = {process["name"]: process for process in tree.root._status.list_processes()}
    assert "worker[mail:0]" not in listed
    tree.is_forked("worker[mail:0]")
    listed = {process["name"]: process for process in tree.root._status.list_processes()}
    assert listed["root"] == {"name": "root", "pid": os.getpid(), "started_at": BEGIN}
    assert [listed[f"worker[mail:{slot}]"]["state"] for slot in (0, 1)] == ["booting", "ending"]
    tree.becomes_ready("worker[mail:0]")
    listed = {process["name"]: process for process in tree.root._status.list_processes()}
    assert listed["worker[mail:0]"]["state"] == "ready"
    assert listed["worker[mail:0]"]["pool"] == "mail"
    assert set(listed["healer"]) == {"name", "pid", "started_at"}


def test_the_state_counts_what_runs_and_what_was_replaced(tree: SimulatedTree) -> None:
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    tree.ends("fetcher[mail]")
    state = tree.root._status.tree_state()
    assert state["types"] == {
        "mail": {
            "types": ["mail"],
            "slots": 2,
            "size": 2,
            "states": {"idle": 1, "busy": 0, "starting": 1},
            "workers": 2,
            "ready": 1,
            "fetcher": False,
            "held": False,
            "restarts": {"crash": 1},
        }
    }
    assert (state["pools"], state["held_types"]) == (state["types"], ["mail"])
    assert state["child_restarts"] == {"fetcher": 1}
    assert (state["lease"], state["stopping"], state["quiet"]) == (True, False, False)
    assert (state["known_types"], state["started_at"]) == (["mail"], BEGIN)
