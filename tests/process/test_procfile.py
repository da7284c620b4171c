"""honcho starts every line of the Procfile, and stops it in order."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from eventually import eventually
from honcho.environ import parse_procfile

import goque

PROCFILE = Path(__file__).resolve().parents[2] / "Procfile"
APP = """
import time
import goque

registry = goque.Registry()


@registry.processor("letter", workers=1)
def letter(task):
    print("begun", flush=True)
    time.sleep(0.5)
    print("ended", flush=True)


@registry.cron("* * * * * *", misfire="all")
def tick():
    return goque.Task("tick")


@registry.processor("tick", workers=1)
def count(task):
    pass


async def web(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""


class Honcho:
    """`honcho start` in a directory with an app."""

    def __init__(self, directory: Path) -> None:
        (directory / "app.py").write_text(APP, "utf-8")
        self.url = f"sqlite:///{directory}/goque.db"
        self.log_path = directory / "log"
        self.types = list(parse_procfile(PROCFILE.read_text("utf-8")).processes)
        self.port = base_of_free_ports(len(self.types))
        command = [
            sys.executable,
            "-m",
            "honcho",
            "-f",
            PROCFILE,
            "-d",
            directory,
            "start",
            "-p",
            str(self.port),
        ]
        paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        with contextlib.closing(goque.open_storage(self.url)) as storage:
            storage.migrate()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdout=log,
                stderr=log,
                env={**env, "PATH": paths, "GOQUE_DATABASE_URL": self.url},
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def answers(self, process_type: str, path: str) -> bool:
        """Whether the process of a type answers on its port; honcho gives the n-th one the n-th hundred."""
        port = self.port + 100 * self.types.index(process_type)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def living(before: set[int]) -> set[int]:
    """Return our children that were not there before; those that have ended, and were left to us, are reaped."""
    found = set()
    for child in psutil.Process().children():
        if child.pid not in before:
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, 0)
                else:
                    found.add(child.pid)
    return found


def base_of_free_ports(count: int) -> int:
    """Find a port such that it and those at every hundred after it are free."""
    first = random.randrange(20_000, 25_000)  # other tests on this machine may look for some just now
    for base in range(first, 30_000, 7):
        try:
            for number in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + 100 * number))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture
def honcho(tmp_path: Path) -> Iterator[Honcho]:
    before = living(set())
    started = Honcho(tmp_path)
    yield started
    started.process.send_signal(signal.SIGTERM)
    started.process.wait(30)
    print(started.log)  # noqa: T201 - pytest shows it when the test failed
    eventually(lambda: not living(before))


def test_the_procfile_has_the_process_types_of_the_contract() -> None:
    types = set(parse_procfile(PROCFILE.read_text("utf-8")).processes)
    assert types == {"web", "worker", "scheduler", "dashboard"}


@pytest.mark.xdist_group("honcho")
def test_honcho_starts_each_process_type(honcho: Honcho) -> None:
    eventually(lambda: honcho.answers("web", "/"), within=30)
    eventually(lambda: honcho.answers("dashboard", "/"), within=30)
    for process_type in ("worker", "scheduler"):
        eventually(lambda t=process_type: honcho.answers(t, "/readyz"), within=30)
    for process_type in honcho.types:
        assert f"{process_type}.1 started" in honcho.log
        assert f"{process_type}.1 stopped" not in honcho.log
    with goque.TaskQueueManager(honcho.url) as queue:
        sent = queue.enqueue("letter")
        assert queue.wait(sent.id, timeout=30).status == goque.TaskStatus.DONE
        done = goque.TaskFilter(task_type="tick", status=goque.TaskStatus.DONE)
        eventually(lambda: queue.get_tasks(done), within=30)


@pytest.mark.xdist_group("honcho")
def test_honcho_lets_a_running_task_end(honcho: Honcho) -> None:
    with goque.TaskQueueManager(honcho.url) as queue:
        sent = queue.enqueue("letter")
        eventually(lambda: "begun" in honcho.log, within=30)
        honcho.process.send_signal(signal.SIGTERM)
        honcho.process.wait(30)
        eventually(lambda: queue.get_task(sent.id).status == goque.TaskStatus.DONE)
        assert queue.get_task(sent.id).attempts == 0
    assert "ended" in honcho.log
