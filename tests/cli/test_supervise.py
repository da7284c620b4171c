"""`goque supervise` from its flags to its exit code, and Ctrl-C elsewhere."""

from __future__ import annotations

import json
import os
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
    assert "SQLite database" in logged
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
        "supervise", app, "--types", "good", GOQUE_DRAIN="1", GOQUE_LOG_FORMAT="json", GOQUE_LOG_LEVEL="info"
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
