"""The arguments of a workload, and the turns of other queues in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from database import Backend
from figure import Figure
from peers import Peer, PeerProgram


@dataclass(frozen=True)
class Run:
    """One workload on one backend.

    Attributes:
        backend: the database to measure.
        directory: an empty directory for its files.
        quick: whether to run fewer rounds.
        peers: other queues that run the same workload on this kind of database.
    """

    backend: Backend
    directory: Path
    quick: bool
    peers: tuple[PeerProgram, ...] = ()

    def name(self, figure: str) -> str:
        """Return a figure's key in the report."""
        return f"{self.backend.name}.{figure}"

    @contextmanager
    def turns(self, workload: str) -> Iterator[Turns]:
        """Start the queues that support a workload, each on a separate database."""
        with ExitStack() as stack:
            able = [program for program in self.peers if workload in program.workloads]
            yield Turns(
                self.name(workload),
                [stack.enter_context(program.started(self.backend, self.directory)) for program in able],
            )


@dataclass
class Turns:
    """The measurements of other queues in the rounds of one workload."""

    name: str
    peers: list[Peer]
    values: dict[str, list[float]] = field(default_factory=dict)

    def take(self, measure: Callable[[Peer], Any]) -> None:
        """Let each queue measure one round; `measure` returns one value or several."""
        for peer in self.peers:
            measured = measure(peer)
            self.values.setdefault(peer.name, []).extend(
                measured if isinstance(measured, list) else [measured]
            )

    def figures(self, unit: str, ours: list[float]) -> Iterator[Figure]:
        """Compare goque with each of these queues."""
        for peer in self.peers:
            yield Figure(
                f"{self.name}.{peer.name}", unit, ours, self.values[peer.name], peer.title, compares="peers"
            )
