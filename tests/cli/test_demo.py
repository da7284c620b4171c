"""`goque demo`: what it promises does happen, and nothing stays behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goque.cli.demo.load import BROKEN, MIN_FILES, choose, size_of, source_files, tasks_for
from goque.cli.demo.progress import Progress
from goque.cli.demo.report import Report


@pytest.fixture
def temporary() -> Iterator[Path]:
    """What the tour sees as the system's temporary directory; pytest's own is too long for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="goque-test-") as directory:
        yield Path(directory)


def test_the_tour_keeps_every_promise_waits_for_nobody_and_leaves_nothing(
    goque: Any, temporary: Path
) -> None:
    told = goque("demo", TMPDIR=str(temporary), XDG_RUNTIME_DIR="").stdout
    assert told.count("worker crashed: signal 11 (SIGSEGV)") == 3  # as it happens, and in the report
    assert "in highlight" in told  # the Python stack of the crash names the handler
    assert told.count("  yes  ") == 4
    assert "  NO " not in told
    assert "--keep` leaves" in told  # how to open the dashboard
    assert "\x1b" not in told  # no colour where nobody asked for it
    assert not list(temporary.glob("goque-demo-*"))


def read_until(terminal: int, pattern: str) -> str:
    """Read what a terminal shows until a pattern is in it."""
    shown = ""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not re.search(pattern, shown):
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode("utf-8", "replace")
    assert re.search(pattern, shown), shown
    return shown


def test_a_terminal_shows_it_live_and_has_the_dashboard_until_ctrl_c(goque: Any, temporary: Path) -> None:
    ours, terminal = pty.openpty()
    tour = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "demo"],
        cwd=goque.directory,
        env=goque.env | {"TMPDIR": str(temporary), "XDG_RUNTIME_DIR": "", "COLUMNS": "100", "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    try:
        shown = read_until(ours, r"Ctrl-C ends the demo")
        assert re.search(r"\d+ of \d+ tasks", shown)
        assert "LATENCY" in shown  # what goque top shows
        address = re.search(r"http://127\.0\.0\.1:\d+/", shown)
        assert address is not None
        with urllib.request.urlopen(address[0], timeout=30) as page:
            assert "highlight" in page.read().decode()
        tour.send_signal(signal.SIGINT)
        shown = read_until(ours, "What to try next")
        assert "left no process" in shown
        assert tour.wait(30) == 0
    finally:
        tour.kill()
        tour.wait()
        os.close(ours)
    assert not list(temporary.glob("goque-demo-*"))


def test_the_directory_stays_where_that_is_asked_for(goque: Any, temporary: Path) -> None:
    told = goque("demo", "--keep", TMPDIR=str(temporary)).stdout
    (kept,) = temporary.glob("goque-demo-*")
    assert f"goque dashboard --database-url sqlite:///{kept}/goque.db serves it" in told
    counts = goque.json_lines("stats", "--json", "--database-url", f"sqlite:///{kept}/goque.db")
    assert {"type": "highlight", "status": "attempts_left", "count": 1} in counts
    assert list((kept / "pages").glob("*.html"))


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
        tasks = queue.add_tasks(tasks_for([Path("a.py"), Path("b.py")]))
        progress = Progress(queue, len(tasks), root=-1)
        for task in tasks:
            queue.cancel_task(task.id)
        assert list(progress.next_lines()) == []
        assert progress.has_ended
        report = Report(queue, progress, files=2)
    assert not any(report.promises().values())
    assert not list(report.crash_lines())
    assert list(report.last_promises(0).values()) == [True]
    assert list(report.last_promises(4).values()) == [False]


def test_the_load_fits_the_machine() -> None:
    files = source_files()
    assert len({file.name for file in files}) == len(files) > 100
    quick = choose(files, seconds_a_byte=1e-6, cpus=4, seconds=2.0)
    slow = choose(files, seconds_a_byte=1.0, cpus=1, seconds=2.0)
    assert 2.0 * 4 * 0.6e6 < size_of(quick) < 2.0 * 4 * 0.8e6
    assert len(slow) == MIN_FILES
    assert [task.payload for task in tasks_for(slow)[:2]] == [BROKEN, 1]
