"""`goque top`: plain lines where there is no terminal, a screen and keys where there is one."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest

from goque.describe.node_info import NodeInfo, PoolInfo, RunInfo, TypeInfo, WorkerInfo, encode_info
from goque.storage import open_storage
from goque.storage.contract import TypePolicy

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][0-9A-B]")
MAIN_SCREEN = b"\x1b[?1049l"


class Watcher:
    """Somebody at a terminal who runs `goque top`."""

    def __init__(self, goque: Any, *args: str, columns: int = 80) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "goque.cli", "top", *args],
            cwd=goque.directory,
            env=goque.env | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        self.terminal = theirs
        self.written = b""

    def sees(self, text: str) -> None:
        """Read until the text is on the screen; only what comes after it counts the next time."""
        deadline = time.monotonic() + 20
        while text.encode() not in (plain := ESCAPES.sub(b"", self.written)):
            assert time.monotonic() < deadline, f"no {text!r} in {plain.decode(errors='replace')}"
            if select.select([self.ours], [], [], 1.0)[0]:
                self.written += os.read(self.ours, 65536)
        self.written = b""

    def types(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def ends(self) -> tuple[int, bytes]:
        """Wait for its end, and return its exit code with all that came last."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None or select.select([self.ours], [], [], 0)[0]:
            assert time.monotonic() < deadline
            if select.select([self.ours], [], [], 0.1)[0]:
                self.written += os.read(self.ours, 65536)
        return self.process.returncode, self.written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.terminal)


@pytest.fixture
def storage(goque: Any) -> Iterator[Any]:
    opened = open_storage(goque.url)
    opened.require_schema()
    yield opened
    opened.close()


def publish(storage: Any, *names: str) -> None:
    storage.publish_types([TypePolicy(name, 5, None, None, 60.0, 600.0, 60.0) for name in names])


def test_without_a_terminal_it_prints_plain_lines(goque: Any, storage: Any) -> None:
    publish(storage, "mail")
    with goque.queue as queue:
        task = queue.enqueue("sms")
    worker = WorkerInfo("worker[mail:0]", 4711, runs=(RunInfo(task.id, 5.0),))
    info = NodeInfo(
        app="app:registry",
        types=(TypeInfo("mail", slots=1, living=1),),
        pools=(PoolInfo("mail", ("mail",), workers=(worker,)),),
    )
    storage.register_node("n1", host="web-1", pid=4242, info=encode_info(info))
    for line in (goque("top", "--once").stdout, goque.in_terminal("top", "--once").screen):
        text = " ".join(line.split())
        assert goque.url in text
        assert "mail 0 0 0 0s 0.0 0 - 1/1" in text
        assert "NODE web-1 pid 4242" in text
        assert f"mail:0 4711 - - {task.id}" in text
        assert "\x1b" not in text


def test_plain_lines_come_again_until_the_reader_leaves(goque: Any, storage: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "top", "--interval", "0.05"],
        cwd=goque.directory,
        env=goque.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    looks = 0
    while looks < 3:
        looks += process.stdout.readline().rstrip().endswith(goque.url.encode())
    process.stdout.close()
    assert process.wait(20) in (0, 1)
    assert process.stderr.read() == b""
    process.stderr.close()


def test_keys_pause_reset_and_quit_and_the_terminal_is_as_before(goque: Any, storage: Any) -> None:
    publish(storage, "mail")
    with goque.queue as queue:
        task = queue.enqueue("mail")
        queue.cancel_task(task.id)
        with Watcher(goque, "--interval", "0.2") as somebody:
            somebody.sees("mail")
            somebody.types("p")
            somebody.sees("mail is paused on every node")
            assert storage.type_policies()["mail"].paused
            somebody.types("p")
            somebody.sees("mail goes on")
            somebody.types("r")
            somebody.sees("[y/n] reset all failed tasks of mail?")
            somebody.types("y")
            somebody.sees("reset 0 tasks of mail")
            somebody.types("\r")
            somebody.sees("no task of this type has failed")
            somebody.types("\x1b")
            somebody.sees("p pause/resume")
            somebody.types("q")
            code, last = somebody.ends()
            assert code == 0
            assert MAIN_SCREEN in last
            assert termios.tcgetattr(somebody.terminal) == somebody.before


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_figures_of_a_type_are_beside_its_name_at_any_width(
    goque: Any, storage: Any, columns: int
) -> None:
    publish(storage, "mail")
    figures = f"{'0':>7} {'0':>6} {'0':>5} {'0s':>7} {'0.0':>6} {'0':>6} {'-':>6} {'0/0':>7}"
    with Watcher(goque, columns=columns) as somebody:
        somebody.sees(f"> {'mail':<20} {figures}")
        somebody.types("?")
        somebody.sees("KEYS")
        somebody.sees("any key goes back")
        somebody.types("x")
        somebody.sees("? help")
        somebody.types("q")
        assert somebody.ends()[0] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_leaves_the_terminal_as_it_was(
    goque: Any, storage: Any, number: signal.Signals, code: int
) -> None:
    with Watcher(goque) as somebody:
        somebody.sees("no supervisor runs")
        somebody.process.send_signal(number)
        found, last = somebody.ends()
        assert found == code
        assert MAIN_SCREEN in last
        assert b"Traceback" not in last
        assert termios.tcgetattr(somebody.terminal) == somebody.before


def test_ctrl_c_is_a_key_that_quits(goque: Any, storage: Any) -> None:
    with Watcher(goque) as somebody:
        somebody.sees("no supervisor runs")
        somebody.types("\x03")
        assert somebody.ends()[0] == 0


def test_a_terminal_that_goes_away_ends_it(goque: Any, storage: Any) -> None:
    somebody = Watcher(goque)
    somebody.sees("no supervisor runs")
    os.close(somebody.terminal)
    os.close(somebody.ours)
    assert somebody.process.wait(20) is not None


def test_a_database_that_cannot_be_reached_is_exit_code_3(goque: Any) -> None:
    error = goque("top", "--once", "--database-url", "postgresql://me@127.0.0.1:9/shop", code=3).stderr
    assert "cannot be reached" in error
