"""The real `goque` in a directory of its own, on a SQLite file."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goque import Task, TaskQueueManager

sys.path.append(str(Path(__file__).parents[1] / "process"))  # its databases are used here too


@dataclass
class Terminal:
    code: int
    screen: str


@dataclass
class Goque:
    """Runs `goque` as a user would; every run ends with the expected exit code and without a traceback."""

    directory: Path
    env: dict[str, str]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory}/goque.db"

    @property
    def queue(self) -> TaskQueueManager:
        return TaskQueueManager(self.url)

    def __call__(
        self, *args: str, code: int = 0, stdin: str | bytes | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "goque.cli", *args],
            cwd=self.directory,
            env=self.env | env,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"exit code {done.returncode}, not {code}\n{out}\n{err}"
        ends_in_traceback = any(line.startswith("Traceback") for line in err.splitlines())
        assert not ends_in_traceback or "debug" in (*args, *env.values()), err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def json_lines(self, *args: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*args).stdout.splitlines()]

    def in_terminal(self, *args: str, columns: int = 80) -> Terminal:
        """Run with both outputs on a terminal and return all that was written to it."""
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "goque.cli", *args],
            cwd=self.directory,
            env=self.env | {"COLUMNS": str(columns), "TERM": "xterm-256color"},
            stdin=subprocess.DEVNULL,
            stdout=child,
            stderr=child,
        )
        os.close(child)
        screen = read_until_closed(parent)
        return Terminal(process.wait(30), screen)


def read_until_closed(descriptor: int) -> str:
    written = b""
    deadline = time.monotonic() + 30
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        while time.monotonic() < deadline and select.select([terminal], [], [], 30)[0]:
            try:
                chunk = terminal.read(65536)
            except OSError:
                break  # Linux says EIO when the last writer has gone
            if not chunk:
                break
            written += chunk
    return written.decode()


@pytest.fixture
def goque(tmp_path: Path) -> Goque:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    return Goque(tmp_path, clean)


@pytest.fixture
def task(goque: Goque) -> Task:
    """One new task in the database."""
    with goque.queue as queue:
        return queue.enqueue("send_email", {"to": "a@b.c"}, external_id="order-7")
