"""`goque supervise` from its flags to its exit code, and Ctrl-C elsewhere."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import goque

registry = goque.Registry()

@registry.processor("good", workers=1)
def good(task):
    return None

@registry.processor("bad", workers=1, max_attempts=1)
def bad(task):
    raise ValueError("no good")
"""


@pytest.fixture
def app(goque: Any) -> str:
    Path(goque.directory, "shop.py").write_text(APP)
    return "shop:registry"


def test_drain_runs_what_is_there_and_exits_0(goque: Any, app: str) -> None:
    with goque.queue as queue:
        for _ in range(20):
            queue.enqueue("good")
        queue.enqueue("bad")
    logged = goque("supervise", app, "--drain").stderr
    assert logged.count("goque.db") == 1, "the database is logged once a tree"
    assert f"database sqlite:///{goque.directory}/goque.db" in logged
    assert goque.json_lines("stats", "--json") == [
        {"type": "bad", "status": "attempts_left", "count": 1},
        {"type": "good", "status": "done", "count": 20},
    ]
    (failed,) = goque.json_lines("list", "--type", "bad", "--json")
    assert "ValueError" in goque("show", failed["id"]).stdout


def test_types_and_the_environment_reach_the_tree(goque: Any, app: str) -> None:
    with goque.queue as queue:
        queue.enqueue("good")
        queue.enqueue("bad")
    done = goque(
        "supervise", app, "--types", "good", GOQUE_DRAIN="1", GOQUE_LOG_FORMAT="json", GOQUE_LOG_LEVEL="debug"
    )
    assert {json.loads(line)["role"] for line in done.stderr.splitlines()} >= {"supervisor", "fetcher"}
    assert {(row["type"], row["status"]) for row in goque.json_lines("stats", "--json")} == {
        ("good", "done"),
        ("bad", "new"),
    }


def test_ctrl_c_is_exit_code_130_and_says_what_went_in(goque: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "enqueue", "t", "--jsonl", "-"],
        cwd=goque.directory,
        env=goque.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write("{}\n" * 40_000)  # more than a pipe holds: when this returns, lines are being read
    process.stdin.flush()
    os.kill(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert error.startswith("goque: stopped; enqueued ")
    assert len(error.splitlines()) == 1


def test_the_log_is_as_the_page_on_the_command_line_shows_it(goque: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    shown = page.partition("### Log lines")[2].split("```\n")[1].splitlines()
    Path(goque.directory, "shop.py").write_text("""
import goque
registry = goque.Registry()

@registry.processor("send_email", workers=1, next_attempt_at=goque.retry.static(60))
def send_email(task):
    raise ConnectionError("the other side hung up")
""")
    goque("enqueue", "send_email")
    with subprocess.Popen(
        [sys.executable, "-m", "goque", "supervise", "shop:registry"],
        cwd=goque.directory,
        env=goque.env,
        stderr=subprocess.PIPE,
        text=True,
    ) as tree:
        assert tree.stderr is not None
        printed = []
        for line in tree.stderr:
            printed.append(_timeless(line.rstrip("\n")))
            if "attempt 1 of 5 failed" in line:
                tree.send_signal(signal.SIGTERM)
    assert [line for line in map(_timeless, shown) if line not in printed] == []


def _timeless(line: str) -> str:
    """Leave out what is different each time: times, process ids, task ids, and where the database is."""
    for pattern in (
        r"^\S+",
        r"(?<=pid )\d+",
        r"(?<=task_id=)\S+",
        r"(?<=duration=)\S+",
        r"(?<=database )\S+?(?=;|$)",
    ):
        line = re.sub(pattern, "…", line)
    return line


def test_a_terminal_gets_a_summary_of_what_runs_and_a_log_does_not(goque: Any, app: str) -> None:
    screen = goque.in_terminal("supervise", app, "--drain").screen
    assert "shop:registry is up as pid" in screen
    assert "good  1 worker, timeout 30s, 5 attempts" in screen
    assert f"database  {goque.url}" in screen
    for options in (["--log-format", "json"], ["--log-level", "warning"]):
        assert "is up as pid" not in goque.in_terminal("supervise", app, "--drain", *options).screen
    logged = goque("supervise", app, "--drain").stderr
    assert "is up as pid" not in logged
    assert "up as pid" in logged
