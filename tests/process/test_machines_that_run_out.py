"""No process, descriptor, memory or disk block left: what runs goes on, and what is missing comes when it can."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from databases import Database, SqliteDatabase
from machine import control_group, full, small_disk
from tree import StartTree, Tree, eventually

from goque import Task
from goque.errors import GoqueError

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0))
registry.processor("hold", workers=2, **options)(hold)

@registry.processor("greedy", workers=1, max_attempts=1, **options)
def greedy(task: Task):
    Path(task.payload).write_text(str(os.getpid()), "ascii")
    with run_of(task):
        hoard = [bytearray(os.urandom(1 << 20)) for _ in range(500)]
"""


def kill_idle_worker(tree: Tree, busy: int) -> None:
    (idle,) = [pid for pid in tree.workers("hold") if pid != busy]
    os.kill(idle, signal.SIGKILL)


@pytest.mark.fault(22)
def test_a_root_without_a_free_descriptor_replaces_nobody_until_it_has_one_and_what_runs_goes_on(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    eventually(lambda: len(tree.workers("hold")) == 2)
    root = psutil.Process(tree.root)
    before = root.rlimit(resource.RLIMIT_NOFILE)
    root.rlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    kill_idle_worker(tree, running)
    eventually(lambda: "cannot be started" in tree.log)
    tree.let_go("long", "next")
    eventually(lambda: tree.database.task("long").status == "done")
    root.rlimit(resource.RLIMIT_NOFILE, before)
    eventually(lambda: len(tree.workers("hold")) == 2)
    tree.database.enqueue("hold", "next")
    eventually(tree.database.is_settled)
    assert tree.started("long") == [running]


@pytest.mark.fault(22)
def test_a_nursery_that_may_fork_no_more_tries_again_and_what_runs_goes_on(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    eventually(lambda: len(tree.workers("hold")) == 2)
    with control_group("pids", 1) as group:
        group.write_text(str(tree.pid("app")), "ascii")
        kill_idle_worker(tree, running)
        eventually(lambda: "cannot be started" in tree.log)
        (group.parent.parent / "cgroup.procs").write_text(str(tree.pid("app")), "ascii")
    eventually(lambda: len(tree.workers("hold")) == 2)
    tree.let_go("long")
    eventually(tree.database.is_settled)
    assert tree.started("long") == [running]


@pytest.mark.fault(9)
def test_a_worker_that_the_kernel_kills_for_its_memory_is_charged_with_the_evidence(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "greedy", app=APP)
    with control_group("memory", 100 << 20) as group:
        (task,) = tree.database.enqueue("greedy", "hungry", payload=str(group))
        eventually(tree.database.is_settled)
        eventually(lambda: not group.read_text("ascii"))
    assert tree.database.task("hungry").errors == "attempt 1: worker crashed: signal 9 (SIGKILL)\n"
    (attempt,) = tree.database.attempts(task)
    assert attempt.failed.oom is not None
    assert "for memory" in attempt.failed.oom
    eventually(lambda: tree.workers("greedy"))


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 16 MiB, by a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="gq-disk-"))
    with small_disk(path, "16m"):
        yield path
    path.rmdir()


class TestFullRunDirectory:
    """A run directory on a disk of its own."""

    @pytest.fixture
    def run_dir(self, disk: Path) -> Path:
        return disk

    @pytest.mark.fault(29)
    def test_nobody_is_replaced_until_there_is_room_and_what_runs_goes_on(
        self, start_tree: StartTree, disk: Path
    ) -> None:
        tree = start_tree("--types", "hold", app=APP)
        tree.database.enqueue("hold", "long", "other")
        long, other = tree.running_pid("long"), tree.running_pid("other")
        with full(disk):
            os.kill(other, signal.SIGKILL)
            eventually(lambda: "No space left" in tree.log)
            tree.let_go("long")
            eventually(lambda: tree.database.task("long").status == "done")
        tree.let_go("other")
        eventually(tree.database.is_settled)
        assert tree.started("long") == [long]
        assert (tree.database.task("other").attempts, len(tree.started("other"))) == (1, 2)


def enqueue_without_end(database: Database) -> None:
    while True:
        database.queue.add_task(Task("hold", {"ballast": "x" * 1000}, delay=9e6))


class TestFullDatabase:
    """A SQLite file on a disk of its own."""

    @pytest.fixture
    def database(self, disk: Path) -> Iterator[Database]:
        made = SqliteDatabase(disk, migrate=True)
        yield made
        made.drop()

    @pytest.mark.fault(29)
    def test_enqueue_says_that_the_disk_is_full_and_what_ended_is_written_when_there_is_room(
        self, start_tree: StartTree, database: Database, disk: Path
    ) -> None:
        tree = start_tree("--types", "hold", app=APP)
        database.enqueue("hold", "long")
        running = tree.running_pid("long")
        with full(disk):
            with pytest.raises(GoqueError, match="full"):
                enqueue_without_end(database)
            tree.let_go("long")
            eventually(lambda: [line for line in tree.journal() if line[:2] == ["end", "long"]])
            eventually(lambda: "results are kept" in tree.log)
        eventually(lambda: database.task("long").status == "done")
        assert (database.task("long").attempts, tree.started("long")) == (0, [running])
        for task in database.tasks():
            database.queue.cancel_task(task.id)
