"""Python's development mode has nothing to complain of, in no process that a command starts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import os
import goque

registry = goque.Registry()
registry.add_processor("good", lambda task: None, workers=1)
registry.add_processor("crash", lambda task: os._exit(1), workers=1, max_attempts=1)
registry.add_periodic_job(goque.cron_job("tick", "@hourly", lambda: goque.Task("good")))

@registry.processor("awaited", workers=1)
async def awaited(task): ...
"""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--help", 0),
        ("migrate", 0),
        ("migrate --status", 0),
        ("enqueue good", 0),
        ("enqueue good hello", 1),
        ("enqueue good --external-id taken", 1),
        ("enqueue good --jsonl lines.jsonl", 1),
        ("enqueue good --jsonl -", 0),
        ("list", 0),
        ("list --json", 0),
        ("list --database-url sqlite:///no/such/directory.db", 3),
        ("show {id}", 0),
        ("show nosuch", 1),
        ("cancel {id} nosuch", 1),
        ("reset --status canceled", 0),
        ("stats", 0),
        ("top --once", 0),
        ("config", 0),
        ("completion fish", 0),
        ("check shop:registry", 0),
        ("check nosuch:registry", 2),
        ("schedules shop:registry", 0),
        ("run-job shop:registry tick", 0),
        ("demo", 0),
        ("supervise shop:registry --drain", 0),
        ("supervise shop:registry --drain --start-method spawn", 0),
        ("supervise shop:registry --drain --reload", 0),
        ("supervise nosuch:registry", 2),
        ("supervise shop:registry --database-url sqlite:///no/such/directory.db", 3),
    ],
)
def test_no_command_leaves_anything_open(goque: Any, command: str, code: int) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    Path(goque.directory, "lines.jsonl").write_text("{}\n{bad\n")
    task_id = goque("enqueue", "good", "--external-id", "taken").stdout.strip()
    for task_type in ("crash", "awaited"):
        goque("enqueue", task_type)
    done = goque(*command.format(id=task_id).split(), code=code, stdin="", PYTHONDEVMODE="1")
    assert "Warning" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reload_leaves_nothing_open(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    with subprocess.Popen(
        [sys.executable, "-m", "goque", "supervise", "shop:registry"],
        cwd=goque.directory,
        env=goque.env | {"PYTHONDEVMODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as tree:
        assert tree.stderr is not None
        log = []
        for line in tree.stderr:
            log.append(line)
            if "up as pid" in line:
                tree.send_signal(signal.SIGHUP)
            if "worker[awaited:0]" in line and "is replaced: reload" in line:
                tree.send_signal(signal.SIGTERM)
    assert tree.returncode == 0
    assert "Warning" not in "".join(log)
