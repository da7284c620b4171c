"""`goque demo`: what it promises does happen, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goque.cli.demo.progress import Progress
from goque.cli.demo.report import Report


@pytest.fixture
def temporary() -> Iterator[Path]:
    """What the tour sees as the system's temporary directory; pytest's own is too long for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="goque-test-") as directory:
        yield Path(directory)


def test_the_tour_keeps_every_promise_and_leaves_nothing(goque: Any, temporary: Path) -> None:
    told = goque("demo", TMPDIR=str(temporary), XDG_RUNTIME_DIR="").stdout
    assert "call_api failed once and succeeded at its second attempt" in told
    assert told.count("worker crashed: signal 11 (SIGSEGV)") >= 4  # as it happens, and in the report
    assert "in resize" in told  # the Python stack of the crash names the handler
    assert "  NO " not in told
    assert "\x1b" not in told  # no colour where nobody asked for it
    assert not list(temporary.glob("goque-demo-*"))


def test_the_directory_stays_where_that_is_asked_for(goque: Any, temporary: Path) -> None:
    goque("demo", "--keep", TMPDIR=str(temporary))
    (kept,) = temporary.glob("goque-demo-*")
    counts = goque.json_lines("stats", "--json", "--database-url", f"sqlite:///{kept}/goque.db")
    assert {"type": "resize", "status": "attempts_left", "count": 1} in counts
    assert (kept / "greeting.txt").read_text("utf-8") == "hello, world\n"


def test_options_of_the_caller_do_not_reach_the_tour(goque: Any, temporary: Path) -> None:
    (goque.directory / "goque.toml").write_text('database_url = "nonsense"', "utf-8")
    goque("demo", TMPDIR=str(temporary), GOQUE_DATABASE_URL="nonsense", GOQUE_TYPES="nothing")


def test_a_tree_that_does_not_start_ends_the_tour_with_its_log(goque: Any, temporary: Path) -> None:
    (temporary / "goque").mkdir(mode=0o755)
    failed = goque("demo", code=1, TMPDIR=str(temporary), XDG_RUNTIME_DIR=str(temporary))
    assert "must belong to you alone" in failed.stdout
    assert failed.stderr.startswith("goque: the tree ended with exit code 2")
    assert not list(temporary.glob("goque-demo-*"))


def test_a_tour_that_is_ended_takes_its_tree_and_directory_along(goque: Any, temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "goque.cli", "demo"],
        cwd=goque.directory,
        env=goque.env | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    ) as tour:
        assert tour.stdout is not None
        root = next(
            line.split("process ")[1].split(",")[0] for line in tour.stdout if "the tree: process" in line
        )
        tour.send_signal(signal.SIGTERM)
        tour.communicate(timeout=30)
    assert tour.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(root), 0)
    assert not list(temporary.glob("goque-demo-*"))


def test_a_promise_that_was_not_kept_is_seen(goque: Any) -> None:
    with goque.queue as queue:
        payloads = {"greet": "world", "call_api": {}, "resize": "broken.png"}
        tasks = [queue.enqueue(task_type, payload) for task_type, payload in payloads.items()]
        progress = Progress(queue, tasks, root=-1)
        for task in tasks:
            queue.cancel_task(task.id)
        assert len(list(progress.next_lines())) == 3
    promises = Report(progress, exit_code=4).promises()
    kept = [promise for promise, was_kept in promises.items() if was_kept]
    assert kept == [
        "the other images went through the same worker and were charged nothing",
        "no process of it is left",
    ]
