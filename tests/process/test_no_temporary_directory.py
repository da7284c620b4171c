"""Hosts without a directory for temporary files, and with an XDG_RUNTIME_DIR of another user."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database
from resource_limits import full, small_disk, unable
from tree import StartTree, eventually, python_command, supervise_command, write_app

from goque import private

APP = """
import goque
registry = goque.Registry()

@registry.processor("hello")
def hello(task):
    pass
"""
MOUNTS = """
set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/app
mount -t tmpfs tmpfs /mnt/app
printf '%s' "$APP" > /mnt/app/app.py
mount -o remount,ro /mnt/app
mount -t tmpfs -o ro tmpfs /var/tmp
mount --bind /tmp /tmp
mount -o remount,ro,bind /tmp
cd /mnt/app
unset XDG_RUNTIME_DIR TMPDIR
exec "$@"
"""


def run_without_temporary_directory(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of goque where only /mnt can be written."""
    command = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh"]
    environment = {**os.environ, "APP": APP, "GOQUE_DATABASE_URL": "sqlite:////mnt/q.db"}
    return subprocess.run(
        [*command, *python_command("-m", "goque.cli", *arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ("supervise app:registry --drain --run-dir /mnt/run", 0, "supervisor stopped"),
        ("supervise app:registry --drain", 2, "there is no place for the run directory"),
        ("migrate", 0, ""),
    ],
)
def test_a_run_directory_suffices_and_without_one_a_line_says_so(
    arguments: str, exit_code: int, said: str
) -> None:
    if os.geteuid() != 0:
        unable("only root can mount")
    done = run_without_temporary_directory(*shlex.split(arguments))
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert exit_code == 0 or len(done.stderr.splitlines()) == 1


@pytest.fixture
def disk() -> Iterator[Path]:
    """A directory for a small file system, by a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="gq-disk-"))
    yield path
    path.rmdir()


LARGE_RESULTS = """
@registry.processor("large", workers=2, min_workers=2, max_attempts=1, store_result=True)
def large(task: Task):
    note("start", task.external_id, os.getpid())
    return "x" * task.payload
"""


@pytest.mark.fault(53)
def test_a_run_directory_of_one_mebibyte_is_refused_with_one_line_that_names_it(
    tmp_path: Path, disk: Path, database: Database
) -> None:
    write_app(tmp_path, LARGE_RESULTS)
    with small_disk(disk, "1m"):
        done = subprocess.run(
            supervise_command(disk / "run", "--drain"),
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(Path(__file__).parent),
                "GOQUE_DATABASE_URL": database.url,
                "GOQUE_TEST_JOURNAL": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert (
        f"run directory {disk}/run is on a file system of 1.0 MiB, and 2 workers need 2.1 MiB there" in line
    )


class TestSmallRunDirectory:
    """A run directory on a file system that the black boxes of two workers nearly fill."""

    @pytest.fixture
    def run_dir(self, disk: Path) -> Iterator[Path]:
        with small_disk(disk, "3m"):
            yield disk

    @pytest.mark.fault(53)
    def test_tasks_run_and_a_result_without_room_is_an_error_that_names_the_directory(
        self, start_tree: StartTree, run_dir: Path
    ) -> None:
        tree = start_tree(app=LARGE_RESULTS)
        tree.database.enqueue("large", "small", payload=1000)
        eventually(tree.database.is_settled)
        with full(run_dir):
            tree.database.enqueue("large", "big", payload=60_000)
            tree.database.enqueue("large", "another", payload=1000)
            eventually(tree.database.is_settled)
        tree.database.enqueue("large", "later", payload=60_000)
        eventually(tree.database.is_settled)
        statuses = {task.external_id: task.status for task in tree.database.tasks()}
        assert statuses == {"small": "done", "another": "done", "big": "attempts_left", "later": "done"}
        errors = tree.database.task("big").errors
        assert (
            errors
            == f"attempt 1: the worker cannot keep its result in {tree.run_dir}: No space left on device\n"
        )

    @pytest.mark.fault(53)
    def test_a_worker_without_room_for_its_box_is_reported_once_and_starts_when_there_is_room(
        self, start_tree: StartTree, run_dir: Path
    ) -> None:
        with full(run_dir):
            tree = start_tree(app=LARGE_RESULTS)
            eventually(lambda: "up as pid" in tree.log)
            tree.database.enqueue("large", "a", payload=1)
            eventually(lambda: f"No space left on device: '{tree.run_dir}'" in tree.log)
            time.sleep(2.5)  # to try again: what must not be there cannot be waited for
        eventually(tree.database.is_settled)
        assert tree.log.count("cannot be started") == 1
        assert len(list(tree.run_dir.glob("*/*.box"))) == 2, "a box that could not be made is deleted"


@pytest.mark.fault(53)
def test_an_xdg_runtime_dir_of_another_user_does_not_count(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unable("only root can become another user")
    for mode in (0o755, 0o700):
        foreign = tmp_path / f"foreign-{mode:o}"
        foreign.mkdir(mode=mode)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.environ["XDG_RUNTIME_DIR"] = str(foreign)
            os.setuid(12345)
            os.write(writer, str(private.default_base()).encode())
            os._exit(0)
        os.close(writer)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(reader, 4096).decode().endswith("/goque-12345")
        os.close(reader)
