"""Every step of a task's way, with a process that is killed or stopped right there, or a database that fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from databases import Database, on_every_backend, on_every_server
from tree import StartTree, Tree, eventually

from goque_supervisor.ipc.failpoints import POINTS

APP = """
@registry.processor("step", workers=1, fetch_tick=0.1, next_attempt_at=retry.static(0))
def step(task: Task):
    with run_of(task):
        goque.follow_up("after", task.external_id)
        time.sleep(0.2 if task.payload == "mark.before" else 0)

registry.declare("after")
"""
CHARGED = {"run.after_begin": 1, "run.before_end": 2}
"""Where a kill is charged, since the handler had begun for all that is known; and how often it runs then."""

DATABASE_CALLS = ("claim.before", "mark.before", "settle.before", "settle.after_commit")


class Walk:
    """A tree whose processes fail at points."""

    def __init__(self, start_tree: StartTree, directory: Path) -> None:
        self.points = directory / "points"
        self.points.mkdir()
        self.tree: Tree = start_tree(app=APP, GOQUE_TEST_FAILPOINTS=str(self.points))

    def step(self, point: str, action: str) -> str:
        """Send a task along the way; returns its name."""
        name = f"{point}-{action}"
        eventually(lambda: self.tree.workers("step"))
        (self.points / point).write_text(action, "ascii")
        self.tree.database.enqueue("step", name, payload=point)
        return name

    def failed(self, point: str) -> int:
        """Wait until a process has failed at a point; returns its pid."""
        (taken,) = eventually(lambda: list(self.points.glob(f"{point}.*")))
        taken.unlink()
        return int(taken.suffix[1:])

    def await_end(self, name: str, attempts: int, runs: int) -> None:
        """See that the task is done, and how often it was charged and begun."""
        eventually(lambda: self.tree.database.is_settled("step"))
        task = self.tree.database.task(name)
        assert (name, task.status, task.attempts) == (name, "done", attempts), task.errors
        self.tree.assert_each_ran(runs, [name])
        followed = [task for task in self.tree.database.tasks("after") if task.payload == name]
        assert len(followed) == 1, f"{name} has {len(followed)} follow-ups"


@pytest.fixture
def walk(start_tree: StartTree, tmp_path: Path) -> Walk:
    return Walk(start_tree, tmp_path)


@on_every_backend
@pytest.mark.parametrize("part", [POINTS[:8], POINTS[8:]], ids=["claim-to-run", "result-to-end"])
@pytest.mark.fault(6)
@pytest.mark.fault(14)
def test_a_process_killed_at_any_point_loses_nothing_and_only_a_begun_handler_is_charged(
    walk: Walk, part: tuple[str, ...]
) -> None:
    for point in part:  # in two trees, each with no more deaths of its fetcher than leave the workers alone
        name = walk.step(point, "kill")
        walk.failed(point)
        walk.await_end(name, attempts=1 if point in CHARGED else 0, runs=CHARGED.get(point, 1))


@pytest.mark.fault(7)
@pytest.mark.fault(15)
def test_a_process_stopped_at_any_point_goes_on_where_it_stood(walk: Walk) -> None:
    for point in POINTS:
        name = walk.step(point, "stop")
        pid = walk.failed(point)
        eventually(lambda pid=pid: ") T " in Path(f"/proc/{pid}/stat").read_text("utf-8"))
        os.kill(pid, signal.SIGCONT)
        walk.await_end(name, attempts=0, runs=1)


@on_every_backend
@pytest.mark.fault(25)
def test_a_database_that_fails_at_any_point_is_asked_again(walk: Walk, database: Database) -> None:
    for point in DATABASE_CALLS:
        name = walk.step(point, "error")
        walk.failed(point)
        walk.await_end(name, attempts=0, runs=1)


@on_every_server
@pytest.mark.fault(23)
def test_a_server_that_ends_all_connections_while_a_process_is_at_any_point_costs_nothing(
    walk: Walk, database: Database
) -> None:
    for point in POINTS:
        name = walk.step(point, "stop")
        pid = walk.failed(point)
        eventually(lambda pid=pid: ") T " in Path(f"/proc/{pid}/stat").read_text("utf-8"))
        database.kill_connections()
        os.kill(pid, signal.SIGCONT)
        walk.await_end(name, attempts=0, runs=1)
