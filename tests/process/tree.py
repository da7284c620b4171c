"""A supervision tree of real processes, as a test sees it: its database, its processes, its log, its journal."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import psutil
from databases import Database
from eventually import eventually

__all__ = [
    "Database",
    "StartTree",
    "Tree",
    "eventually",
    "free_port",
    "get",
    "python_command",
    "supervise_command",
    "write_app",
]


HERE = Path(__file__).parent
MARK = "GOQUE_TEST_TREE"
PRELUDE = """\
from __future__ import annotations
import asyncio, ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
import goque
from goque import Registry, Task, retry
from journal import hold, note, place_of, run_of
registry = Registry()
"""
SHARED_POOL = os.environ.get("GOQUE_TEST_SHARED_POOL") == "1"
"""Whether all types of an app share one pool, so that the tests of faults show that a pool survives them too."""
SHARED_PRELUDE = PRELUDE.replace(
    "registry = Registry()", "from shared_pool import SharedPool, share\nregistry = SharedPool()"
)


class Tree:
    """One `goque supervise` with all its processes."""

    processes: ClassVar[list[subprocess.Popen[bytes]]] = []
    """The roots of all trees. Once somebody has asked for the exit code of one, the system may give its pid again."""

    def __init__(
        self, directory: Path, run_dir: Path, database: Database, command: list[str], env: dict[str, str]
    ) -> None:
        self.directory = directory
        self.run_dir = run_dir
        self.database = database
        self.mark = secrets.token_hex(8)
        self.journal_directory = directory / "journal"
        self.journal_directory.mkdir(exist_ok=True)
        self.log_path = directory / f"log-{self.mark}"
        self.remains: set[int] = set()
        paths = [str(HERE), *sys.path]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")},
                    "PYTHONPATH": os.pathsep.join(path for path in paths if path),
                    "GOQUE_DATABASE_URL": self.database.url,
                    "GOQUE_TEST_JOURNAL": str(self.journal_directory),
                    MARK: self.mark,
                    **env,
                },
            )

        Tree.processes.append(self.process)

    @property
    def root(self) -> int:
        """The pid of the root supervisor."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What the tree has written to its standard error so far."""
        return self.log_path.read_text("utf-8", "replace")

    # -- its processes -----------------------------------------------------------------------------

    @property
    def shares_a_pool(self) -> bool:
        """Whether the types of its app share one pool, because the environment says so."""
        return "SharedPool()" in (self.directory / "app.py").read_text("utf-8")

    def living(self) -> dict[int, str]:
        """Return pid and short name of every living process that was started by this tree, at any remove."""
        wanted = f"{MARK}={self.mark}".encode()
        return {pid: name for pid, name in _processes() if wanted in _environment(pid)}

    def pids(self, name: str) -> list[int]:
        """Return the living processes of a role, such as `fetcher` or `w0:slow`, oldest first."""
        wanted = f"goque:{name}"[:15]
        return [pid for pid, found in sorted(self.living().items()) if found == wanted]

    def actors(self) -> dict[str, list[int]]:
        """Return the living processes of each role that every tree has, once all have started."""
        return {
            role: eventually(lambda role=role: self.pids(role))
            for role in ("fetcher", "lease", "healer", "cleaner")
        }

    def pid(self, name: str) -> int:
        """Wait for the only process of a role."""
        return eventually(lambda: pids[0] if len(pids := self.pids(name)) == 1 else 0)

    def pool_of(self, task_type: str) -> str:
        """Return the name of the pool that runs a type of the test's app."""
        return "default" if SHARED_POOL and self.shares_a_pool else task_type

    def pools(self, *task_types: str) -> int:
        """Return how many pools run these types."""
        return len({self.pool_of(task_type) for task_type in task_types})

    def workers(self, task_type: str = "") -> list[int]:
        """Return the living workers of a type."""
        pattern = re.compile(rf"goque:w\d+:{re.escape(self.pool_of(task_type)[:6])}")
        return [pid for pid, name in sorted(self.living().items()) if pattern.match(name)]

    def ports(self, role: str) -> set[int]:
        """Return our ends of the connections that a role's processes have."""
        lines = [line for pid in self.pids(role) for line in psutil.Process(pid).net_connections("tcp")]
        return {line.laddr.port for line in lines}

    # -- what its handlers wrote down --------------------------------------------------------------

    def journal(self) -> list[list[str]]:
        """Return the words of each line."""
        path = self.journal_directory / "journal"
        return [line.split() for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def let_go(self, *names: str) -> None:
        """Let tasks whose handler is `hold` come to their end."""
        for name in names:
            (self.journal_directory / f"{name}.go").touch()

    def started(self, name: str) -> list[int]:
        """Return the pid of each run of a task that began."""
        return [int(line[2]) for line in self.journal() if line[:2] == ["start", name]]

    def running_pid(self, name: str) -> int:
        """Wait until a task runs, and return the process in which it does."""
        return eventually(lambda: self.started(name))[-1]

    def assert_each_ran(self, times: int, names: Iterable[str]) -> None:
        """See that each of these tasks was begun so many times, and never twice at the same time."""
        journal = self.journal()
        begun = Counter(line[1] for line in journal if line[0] == "start")
        assert {name: begun[name] for name in names if begun[name] != times} == {}
        assert [line for line in journal if line[0] == "overlap"] == []

    def forget_overlaps(self) -> None:
        """Let runs that overlapped pass: the contract allows them where a node was cut off."""
        path = self.journal_directory / "journal"
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("overlap ")), "utf-8")

    # -- its end -----------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the root."""
        self.process.send_signal(number)

    def wait(self, within: float = 30.0) -> int:
        """Wait for the root's exit code."""
        return self.process.wait(within)

    def stop(self, within: float = 30.0) -> int:
        """Ask the tree to stop and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within)

    def kill_root(self) -> None:
        """Kill the root, which leaves its children to us."""
        self.remains = set(self.living()) - {self.root}
        self.process.kill()
        self.process.wait()

    def is_gone(self) -> bool:
        """Whether no process of the tree lives; what a killed root left dead is ours to reap.

        That may be more than lived at the kill, for a nursery forks what the root asked for before.
        """
        return self.process.poll() is not None and not self.left()

    def left(self) -> dict[int, str]:
        """Return what is left of the tree, pid and name, once the dead that are ours to reap have been."""
        roots = {process.pid for process in Tree.processes if process.returncode is None}
        for pid in set(_zombies()) - roots:
            os.waitpid(pid, 0)
        self.remains = {pid for pid in self.remains if Path(f"/proc/{pid}").exists()}
        return dict.fromkeys(self.remains, "what the killed root left") | self.living()

    def assert_nothing_left(self) -> None:
        """The last assertion of every test: no process, zombie, socket, directory, lock or held task is left."""
        assert self.process.poll() is not None, "the tree still runs"
        assert self.living() == {}
        assert _zombies() == []
        assert sorted(path.name for path in self.run_dir.iterdir() if path.name != "lock") == []
        with (self.run_dir / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert [line for line in self.journal() if line[0] == "overlap"] == []

    def clean_up(self) -> None:
        """Kill what is left, after a test that failed."""
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not self.living())
        for pid in _zombies():
            os.waitpid(pid, 0)


class StartTree(Protocol):
    def __call__(
        self,
        *options: str,
        app: str | None = None,
        apart: bool = False,
        beside: Tree | None = None,
        container: bool = False,
        migrate_first: bool = False,
        wrapped_in: Sequence[str] = (),
        **env: str,
    ) -> Tree: ...


def write_app(directory: Path, source: str) -> None:
    """Write the app's module; handlers find their tools imported."""
    if SHARED_POOL and "registry.pool(" not in source:
        source = f"{SHARED_PRELUDE}{source}\nshare(globals().get('registry'))\n"
    else:
        source = PRELUDE + source
    (directory / "app.py").write_text(source, "utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Ask the monitor; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def python_command(*arguments: str) -> list[str]:
    """Return the command line of this Python."""
    return [sys.executable, *arguments]


def supervise_command(run_dir: Path, *options: str) -> list[str]:
    """Return the command line of a tree for the app in its current directory."""
    given = {"--run-dir": str(run_dir), "--node-timeout": "3"}
    defaults = [part for name, value in given.items() if name not in options for part in (name, value)]
    return python_command("-m", "goque.cli", "supervise", "app:registry", *defaults, *options)


def _processes() -> Iterable[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), (entry / "comm").read_text("utf-8", "replace").strip()
            except OSError:
                continue  # it ended while we looked


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""  # it ended while we looked, or is a zombie


def _zombies() -> list[int]:
    """Return our own dead children: we are the subreaper of what the trees leave behind."""
    found = []
    for pid, _name in _processes():
        try:
            state, parent = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == os.getpid():
            found.append(pid)
    return found
