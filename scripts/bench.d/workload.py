"""What every workload is given, and how the peers take their turns in it."""

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
        backend: where.
        directory: an empty one for its files.
        quick: fewer rounds.
        peers: other queues that do the same on this kind of database.
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
        """Start the peers that can do a workload, each on a database of its own."""
        with ExitStack() as stack:
            able = [program for program in self.peers if workload in program.workloads]
            yield Turns(
                self.name(workload),
                [stack.enter_context(program.started(self.backend, self.directory)) for program in able],
            )


@dataclass
class Turns:
    """What the peers measured in the rounds of one workload."""

    name: str
    peers: list[Peer]
    values: dict[str, list[float]] = field(default_factory=dict)

    def take(self, measure: Callable[[Peer], Any]) -> None:
        """Let each peer measure one round, or several values."""
        for peer in self.peers:
            measured = measure(peer)
            self.values.setdefault(peer.name, []).extend(
                measured if isinstance(measured, list) else [measured]
            )

    def figures(self, unit: str, ours: list[float]) -> Iterator[Figure]:
        """Hold goque against each peer."""
        for peer in self.peers:
            yield Figure(
                f"{self.name}.{peer.name}", unit, ours, self.values[peer.name], peer.title, compares="peers"
            )
