"""Nobody reads the log: a pipe whose reader stands still is full, and the tree goes on."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database
from tree import StartTree, eventually, free_port, get, supervise_command, write_app

APP = """
options = dict(timeout=2, timeout_grace=1, max_attempts=1, fetch_tick=0.1)

@registry.processor("noisy", workers=1, **options)
def noisy(task: Task):
    for number in range(3000):
        os.write(2, b"x" * 99 + b"\\n")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue

@registry.processor("chatty", workers=1, **options)
def chatty(task: Task):
    for number in range(2000):
        print("a line of the log", number)

@registry.processor("quiet", workers=1, **options)
def quiet(task: Task):
    note("start", task.external_id, os.getpid())
"""


class StalledTree:
    """A tree whose log goes to a pipe that is read only when the test asks."""

    def __init__(self, process: subprocess.Popen[bytes], reader: int, writer: int) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.log = b""

    def is_full(self) -> bool:
        """Whether the pipe takes no more."""
        return not select.select([], [self.writer], [], 0)[1]

    def read_on(self) -> threading.Thread:
        """Read from now on, as a reader does that has woken up."""
        self.close_writer()

        def read() -> None:
            while data := os.read(self.reader, 65536):
                self.log += data

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    def close_writer(self) -> None:
        """Let the pipe end with the tree."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def tree(tmp_path: Path, run_dir: Path, database: Database, port: int) -> Iterator[StalledTree]:
    write_app(tmp_path, APP)
    (tmp_path / "journal").mkdir()
    reader, writer = os.pipe()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "GOQUE_DATABASE_URL": database.url,
        "GOQUE_TEST_JOURNAL": str(tmp_path / "journal"),
    }
    command = supervise_command(run_dir / "shared", "--http", f"127.0.0.1:{port}", "--shutdown-timeout", "5")
    process = subprocess.Popen(command, cwd=tmp_path, stderr=writer, env=environment)
    stalled = StalledTree(process, reader, writer)
    yield stalled
    stalled.close_writer()
    if process.poll() is None:
        process.kill()
        process.wait()
        print(os.read(reader, 1 << 20).decode("utf-8", "replace").replace("x" * 99, "…")[-2000:])  # noqa: T201 - for a test that failed
    os.close(reader)


@pytest.mark.fault(52)
@pytest.mark.parametrize("kind", ["noisy", "chatty"])
def test_timeouts_health_and_shutdown_go_on_when_nobody_reads_the_log(
    tree: StalledTree, database: Database, port: int, kind: str
) -> None:
    eventually(lambda: get(port, "/readyz")[0] == 200, within=60)
    database.enqueue(kind, "a", "b", "c")
    eventually(tree.is_full)
    began = time.monotonic()
    database.enqueue("quiet", "q1", "q2")
    eventually(lambda: database.counts("quiet") == {"done": 2}, within=5)
    eventually(database.is_settled, within=40)
    if kind == "noisy":
        assert {task.errors for task in database.tasks("noisy")} == {
            "attempt 1: task processing timeout: 2s\n"
        }
        assert time.monotonic() - began < 3 * 3 + 10
    eventually(lambda: get(port, "/readyz")[0] == 200, within=5)  # the worker that was killed is replaced
    tree.process.send_signal(signal.SIGTERM)
    assert tree.process.wait(10) == 0


@pytest.mark.fault(52)
def test_lines_that_were_dropped_are_counted_in_the_log_once_it_is_read(
    tree: StalledTree, database: Database, port: int
) -> None:
    eventually(lambda: get(port, "/readyz")[0] == 200, within=60)
    for name in "abcde":  # the fetcher writes lines between two tasks: from the second on into a full pipe
        database.enqueue("chatty", name)
        eventually(database.is_settled)
    assert tree.is_full()
    reading = tree.read_on()
    eventually(lambda: b" lines of the log were dropped, because nobody read them" in tree.log)
    database.enqueue("chatty", "f")
    eventually(database.is_settled)
    tree.process.send_signal(signal.SIGTERM)
    assert tree.process.wait(10) == 0
    reading.join()
    dropped = sum(
        int(line.split(b" lines of the log")[0].split()[-1])
        for line in tree.log.splitlines()
        if b" lines of the log were dropped" in line
    )
    kept = tree.log.count(b"a line of the log")
    assert dropped + kept == pytest.approx(12_000, abs=60), (
        "a line that was cut counts as kept and as dropped"
    )


FORGERY = r"""
FORGED = [
    b"12:00:00.000 INFO  supervisor stopped\n",
    b"\r12:00:00.000 ERROR lease all is lost\n",
    b'{"time":"2026-01-01T00:00:00Z","level":"error","role":"lease","event":"all is lost"}\n',
    b"\x1b[31mred\x1b[0m \x9b31m \xe2\x80\xae\n",
    b"an ordinary line\twith a tab, \xc5\xbelu\xc5\xa5\n",
    b"no end of line",
]

@registry.processor("forge", workers=1, max_attempts=1)
def forge(task: Task):
    subprocess.run([sys.executable, "-c", f"import os; [os.write(2, line) for line in {FORGED!r}]"])
    print("after it", file=sys.stderr)
    if task.payload == "crash":
        os.write(2, b"\x1e0123456789abcdef\x1f12:00:00.000 INFO  supervisor stopped\n")
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_handler_writes_to_descriptor_2_controls_no_terminal_and_forges_no_line(
    start_tree: StartTree, log_format: str
) -> None:
    tree = start_tree("--log-format", log_format, app=FORGERY)
    tree.database.enqueue("forge", "a")
    eventually(lambda: "after it" in tree.log, within=40)
    tree.database.enqueue("forge", "b", payload="crash")
    eventually(tree.database.is_settled)
    eventually(lambda: tree.log.count("no end of line") == 2)
    assert not [line for line in tree.log.split("\n") if not line.replace("\t", "").isprintable()]
    assert "an ordinary line\twith a tab, žluť\n" in tree.log
    lines = tree.log.split("\n")
    assert not [line for line in lines if line.startswith("12:00:00.000")]
    assert [
        line for line in lines if "all is lost" in line and not line.startswith(("stderr: ", "\\r12"))
    ] == []
    assert "no end of line\n" in tree.log
    if log_format == "json":
        (line, _) = [line for line in lines if "after it" in line]
        assert json.loads(line)["stream"] == "stderr"
    (attempt,) = tree.database.attempts(tree.database.task("b"))
    assert "after it" in (attempt.failed.stderr or "")
    assert "\x1e" not in (attempt.failed.stderr or "")
