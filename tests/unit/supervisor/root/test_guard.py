"""The guard, as a shell and as a loop in Python, with real process groups."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goque_supervisor.root.guard import Guard


def eventually(condition: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()


def group() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
@pytest.mark.parametrize("kind", ["shell", "python"])
def test_the_guard_kills_the_groups_that_it_knows_when_its_pipe_closes_and_no_other(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard()
    known, forgotten, added_later = groups = [group() for _ in range(3)]
    monkeypatch.setenv("groups", str(forgotten.pid))  # the shell has a variable of this name
    guard.add(known.pid)
    guard.start()
    try:
        if kind == "python":  # the guard after one that died
            os.kill(guard.pid, signal.SIGKILL)
            os.waitpid(guard.pid, 0)
            guard.start()
        eventually(lambda: name_of(guard.pid) == "goque:guard")
        program = Path(f"/proc/{guard.pid}/exe").readlink().name
        assert ("python" in program) == (kind == "python"), program
        guard.add(forgotten.pid)
        guard.add(added_later.pid)
        guard.discard(forgotten.pid)
        guard.add(2**22 + 1)  # above what Linux gives: a group that is gone stops nothing
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(guard.pid, number)
        os.close(guard._pipe)  # as when the root dies
        assert {known.wait(20), added_later.wait(20)} == {-signal.SIGKILL}
        os.waitpid(guard.pid, 0)
        assert forgotten.poll() is None
    finally:
        for process in groups:
            process.kill()
            process.wait()
