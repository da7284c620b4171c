"""The root waits for the last stacks of workers, and never for long."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goque_supervisor.ipc.run_directory import stack_path
from goque_supervisor.root.last_stacks import LIMIT, await_last_stacks

WRITES = """
import faulthandler, signal, sys
faulthandler.register(signal.SIGUSR2, open(sys.argv[1], "a"))
print("ready", flush=True)
sys.stdin.read()
"""
IGNORES = WRITES.replace("faulthandler.register(", "signal.signal(signal.SIGUSR2, signal.SIG_IGN); str(")


def worker(process: Any, box: Path, *, runs: bool = True) -> Any:
    running = {1: "a job"} if runs else {}
    return SimpleNamespace(
        pid=process.pid, box=SimpleNamespace(path=box, read=lambda: SimpleNamespace(running=running))
    )


def start(source: str, box: Path) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", source, str(stack_path(box))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize(("source", "writes"), [(WRITES, True), (IGNORES, False)])
def test_it_ends_when_the_stacks_are_whole_or_the_limit_is_over(
    tmp_path: Path, source: str, writes: bool
) -> None:
    boxes = [tmp_path / "a.box", tmp_path / "b.box"]
    processes = [start(source, box) for box in boxes]
    began = time.monotonic()
    await_last_stacks([worker(*pair) for pair in zip(processes, boxes, strict=True)])
    took = time.monotonic() - began
    assert took < LIMIT + 1, "for all together, and a second for a busy machine"
    assert writes or took >= LIMIT
    for process, box in zip(processes, boxes, strict=True):
        assert ("in <module>" in stack_path(box).read_text()) == writes
        process.communicate()


def test_only_workers_that_run_a_handler_are_asked(tmp_path: Path) -> None:
    process = start(WRITES, tmp_path / "a.box")
    await_last_stacks([worker(process, tmp_path / "a.box", runs=False)])
    assert stack_path(tmp_path / "a.box").read_text() == ""
    process.communicate()
    await_last_stacks(
        [worker(process, tmp_path / "a.box")]
    )  # it has ended, and its pid is not reaped elsewhere
