"""What the system says of other processes: which signals they catch, and how they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from eventually import eventually

from goque_supervisor.ipc import os_process

CATCHES = """
import faulthandler, signal, sys
faulthandler.register(signal.SIGUSR2)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""
ENDED = 2**22 + 1
"""No process has this pid."""


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", CATCHES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"ready\n"
        yield started.pid
        started.kill()


def test_a_handler_of_the_interpreter_counts_as_caught(process: int) -> None:
    assert os_process.catches(process, signal.SIGUSR2)
    assert not os_process.catches(process, signal.SIGUSR1), "it ignores this one"
    assert not os_process.catches(process, signal.SIGHUP), "this one would end it"
    assert not os_process.catches(ENDED, signal.SIGUSR2)


def test_a_process_exists_until_it_has_ended(process: int) -> None:
    assert os_process.exists(process)
    assert os_process.exists(1), "another user's, perhaps"
    assert not os_process.exists(ENDED)


def test_a_stopped_process_says_so(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    eventually(lambda: os_process.state_of(process) == "T")
    os.kill(process, signal.SIGCONT)
    eventually(lambda: os_process.state_of(process) == "S")
    assert os_process.state_of(ENDED) == ""
