"""Run other queues in the same workloads, each as a program in the environment where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from database import Backend

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parents[1]
DEFAULT_PYTHON: Final = ".venv.peers/bin/python"
HOW_TO_INSTALL: Final = (
    "make a separate environment for them: python3 -m venv .venv.peers && "
    ".venv.peers/bin/pip install -r scripts/bench.d/peer_programs/requirements.txt"
)
VERSIONS: Final = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
ALL_WORKLOADS: Final = frozenset(
    {"enqueue_one", "enqueue_bulk", "drain_noop", "drain_waiting", "drain_cpu", "latency"}
)


class PeersError(Exception):
    """There is no other queue to run; the message says what to do."""


@dataclass(frozen=True)
class Product:
    """A queue that scripts/bench can measure.

    Attributes:
        title: its name for people.
        backend: the database on which it runs here.
        method: how it runs here, in one line.
        drain_share: the part of goque's number of tasks that it drains in a round, so that a round takes seconds.
        workloads: the workloads that it supports.
    """

    title: str
    backend: str
    method: str
    drain_share: float = 1.0
    workloads: frozenset[str] = ALL_WORKLOADS


PRODUCTS: Final = {
    "pgqueuer": Product(
        "PgQueuer",
        "postgresql",
        "two processes on asyncpg and uvloop that run the handlers themselves, batches of 1,000 (2 with CPU)",
    ),
    "procrastinate": Product(
        "Procrastinate", "postgresql", "two processes of 20 async jobs at a time (1 with CPU)", 0.1
    ),
    "huey": Product(
        "Huey",
        "sqlite",
        "two worker processes that poll every 5 to 20 ms, fsync; a task leaves the database before it runs",
        0.25,
    ),
}


@dataclass(frozen=True)
class PeerProgram:
    """An installed queue, and the interpreter that runs its program."""

    name: str
    title: str
    product: Product
    python: str

    @property
    def backend(self) -> str:
        """The name of the database on which it runs."""
        return self.product.backend

    @property
    def workloads(self) -> frozenset[str]:
        """The workloads that it supports."""
        return self.product.workloads

    @contextmanager
    def started(self, backend: Backend, directory: Path) -> Iterator[Peer]:
        """Start its program on a separate database."""
        with backend.empty(directory) as database:
            command = [self.python, str(HERE / "peer_programs" / f"{self.name}_peer.py"), database.url]
            command.append(str(directory / f"{database.name}.notes"))
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            ) as process:
                peer = Peer(self, process)
                try:
                    yield peer
                finally:
                    assert process.stdin
                    process.stdin.close()  # ends the program
                    process.wait(30)


class Peer:
    """A running program of another queue, which executes commands and answers them."""

    def __init__(self, program: PeerProgram, process: subprocess.Popen[str]) -> None:
        self.name = program.name
        self.title = program.title
        self._share = program.product.drain_share
        self._process = process

    def enqueue_one(self, count: int) -> float:
        """Return the seconds to enqueue this number of tasks, one at a time."""
        return float(self._ask("enqueue_one", count))

    def enqueue_bulk(self, count: int) -> float:
        """Return the seconds to enqueue this number of tasks together."""
        return float(self._ask("enqueue_bulk", count))

    def start(self, kind: str, argument: float = 0) -> None:
        """Start its two workers for tasks of a kind: `noop`, `cpu` or `stamp`."""
        self._ask("start", kind, argument)

    def drained_a_second(self, kind: str, count: int) -> float:
        """Return the rate at which its workers drain tasks. For `noop`, their number is scaled by `drain_share`."""
        count = max(100, round(count * self._share)) if kind == "noop" else count
        return count / float(self._ask("drain", kind, count))

    def drained_waiting_a_second(self, count: int) -> float:
        """Return the rate from the first handler's start until nothing is left of tasks that waited for the workers."""
        count = max(100, round(count * self._share))
        return count / float(self._ask("drain_waiting", count))

    def latency(self, count: int) -> list[float]:
        """Return the milliseconds from the start of each enqueue to the handler's first line."""
        return list(self._ask("latency", count))

    def _ask(self, *words: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(f"scripts/bench: the program of {self.title} ended; see its output above")
        return json.loads(answer)


def installed(python: str) -> tuple[PeerProgram, ...]:
    """Return the queues that are installed for an interpreter.

    Raises:
        PeersError: the interpreter does not run, or none is installed.
    """
    path = str(PROJECT / python) if python == DEFAULT_PYTHON else python
    try:
        told = subprocess.run(
            [path, "-c", VERSIONS, *PRODUCTS], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        raise PeersError(f"{python} is not a working Python interpreter; {HOW_TO_INSTALL}") from None
    versions = json.loads(told)
    if not versions:
        raise PeersError(f"{python} has none of {', '.join(PRODUCTS)} installed; {HOW_TO_INSTALL}")
    for name in PRODUCTS.keys() - versions.keys():
        print(f"{PRODUCTS[name].title} is skipped: it is not installed in {python}", file=sys.stderr)
    return tuple(
        PeerProgram(name, f"{PRODUCTS[name].title} {version}", PRODUCTS[name], path)
        for name, version in versions.items()
    )
