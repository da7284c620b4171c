"""No process, descriptor, memory or disk block is left: running tasks go on, and what is missing is tried again."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from databases import Database, MysqlDatabase, PostgresqlDatabase, SqliteDatabase, on_every_backend
from private_servers import PrivateServer
from resource_limits import control_group, full, small_disk
from tree import StartTree, Tree, eventually

from goque import Task
from goque.errors import GoqueError
from goque.storage import open_storage

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0))
registry.processor("hold", workers=2, min_workers=2, **options)(hold)

@registry.processor("greedy", workers=1, max_attempts=1, **options)
def greedy(task: Task):
    Path(task.payload).write_text(str(os.getpid()), "ascii")
    with run_of(task):
        hoard = [bytearray(os.urandom(1 << 20)) for _ in range(500)]

@registry.processor("wordy", workers=1, store_result=True, **options)
def wordy(task: Task):
    hold(task)
    return os.urandom(30_000).hex()
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
def test_a_fetcher_without_a_free_descriptor_forgets_nothing_that_a_black_box_tells(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "long", "victim")
    long, victim = tree.running_pid("long"), tree.running_pid("victim")
    fetcher = psutil.Process(tree.pid("fetcher"))
    fetcher.rlimit(resource.RLIMIT_NOFILE, (3, fetcher.rlimit(resource.RLIMIT_NOFILE)[1]))
    os.kill(victim, signal.SIGKILL)
    tree.let_go("long", "victim")
    eventually(tree.database.is_settled)
    assert tree.database.task("victim").errors == "attempt 1: worker crashed: signal 9 (SIGKILL)\n"
    assert (tree.database.task("long").attempts, tree.started("long")) == (0, [long])
    tree.assert_each_ran(2, ["victim"])


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
    assert "to free memory" in attempt.failed.oom
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


@pytest.mark.fault(29)
def test_a_log_that_cannot_be_written_costs_its_lines_and_nothing_else(
    start_tree: StartTree, disk: Path
) -> None:
    log = disk / "log"
    tree = start_tree(
        "--types", "hold", app=APP, wrapped_in=["sh", "-c", f'exec "$@" 2>>{log}', "with-its-log-on-the-disk"]
    )
    tree.database.enqueue("hold", "long", "other")
    long, other = tree.running_pid("long"), tree.running_pid("other")
    with full(disk):
        os.kill(other, signal.SIGKILL)
        eventually(lambda: tree.database.task("other").attempts == 1)
        tree.let_go("long", "other")
        eventually(tree.database.is_settled)
        with pytest.raises(OSError, match="No space left"):
            (disk / "more").write_bytes(b"x" * 8192)
    assert (tree.started("long"), len(tree.started("other"))) == ([long], 2)
    tree.signal(signal.SIGHUP)
    eventually(lambda: "importing the app again" in log.read_text("utf-8", "replace"))
    tree.database.enqueue("hold", "after")
    tree.let_go("after")
    eventually(tree.database.is_settled)


def enqueue_without_end(database: Database) -> None:
    while True:
        database.queue.add_task(Task("wordy", {"ballast": "x" * 1000}, delay=9e6))


class TestFullDatabase:
    """A database on a disk of its own: a SQLite file, or the tables of a server."""

    @pytest.fixture
    def database(self, request: pytest.FixtureRequest, backend: str, disk: Path) -> Iterator[Database]:
        if backend == "sqlite":
            made: Database = SqliteDatabase(disk, migrate=True)
            yield made
            made.drop()
        else:
            server = request.getfixturevalue("server")
            with on_small_disk(server, disk) as made:
                yield made

    @on_every_backend
    @pytest.mark.fault(29)
    def test_enqueue_says_that_the_disk_is_full_and_what_ended_is_written_when_there_is_room(
        self, start_tree: StartTree, database: Database, disk: Path
    ) -> None:
        tree = start_tree("--types", "wordy", app=APP)
        database.enqueue("wordy", "long")
        running = tree.running_pid("long")
        eventually(lambda: database.counts() == {"processing": 1})
        with full(disk):
            with pytest.raises(GoqueError, match="full"):
                enqueue_without_end(database)
            tree.let_go("long")
            eventually(lambda: [line for line in tree.journal() if line[:2] == ["end", "long"]])
            eventually(lambda: "keep results" in tree.log)
            assert database.task("long").status == "processing"
        eventually(lambda: database.task("long").status == "done")
        task = database.task("long")
        assert (task.attempts, task.errors, tree.started("long")) == (0, None, [running])
        assert len(task.result) == 60_000
        assert "Traceback" not in tree.log
        for task in database.tasks():
            database.queue.cancel_task(task.id)


@contextlib.contextmanager
def on_small_disk(server: PrivateServer, disk: Path) -> Iterator[Database]:
    """Make a database whose tables are on this disk, and its server's logs of changes elsewhere."""
    disk.chmod(0o777)  # the server empties and removes its directory by itself
    tables = disk / "tables"
    tables.mkdir()
    shutil.chown(tables, (server.data / "db").owner(), (server.data / "db").group())
    if server.name == "postgresql":
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
            connection.execute("ALTER DATABASE postgres SET default_tablespace = small")
            made: Database = PostgresqlDatabase(server.url)
            yield made
            server.repair()
            made.drop()
            connection.execute("ALTER DATABASE postgres RESET default_tablespace")
            connection.execute("DROP TABLESPACE small")
    else:
        made = MysqlDatabase(server.url, migrate=False)
        home = server.data / "db" / made.name
        shutil.copytree(home, tables, dirs_exist_ok=True)
        shutil.rmtree(home)
        home.symlink_to(tables)
        with contextlib.closing(open_storage(made.url)) as storage:
            storage.migrate()
        yield made
        server.repair()
        made.drop()
