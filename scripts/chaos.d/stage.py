"""The state of a nemesis: its arena, its past acts and its scheduled calls."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from arena import Arena, Node
from evidence import Excuse, LostCommits


@dataclass(frozen=True)
class Act:
    """An act, and when it happened (seconds since the epoch)."""

    time: float
    text: str


class Stage:
    """The state of a nemesis.

    Attributes:
        arena: the database and the nodes.
        random: the source of its seeded choices.
        acts: its past acts.
        excuses: its acts that give running tasks back.
        lost_commits: what each failover lost.
        killed: pids of workers that it has killed.
        stopped: the time at which each stopped process was stopped, by pid.
        later: the scheduled calls, as a heap.
        lock: holds the database's lock, or None.
        is_alone: whether an act is in progress during which there must be no other.
    """

    def __init__(self, arena: Arena, seed: int) -> None:
        self.arena = arena
        self.random = random.Random(seed)
        self.acts: list[Act] = []
        self.excuses: list[Excuse] = []
        self.lost_commits: list[LostCommits] = []
        self.killed: set[int] = set()
        self.stopped: dict[int, float] = {}
        self.later: list[tuple[float, int, Callable[[], None]]] = []
        self.lock: contextlib.ExitStack | None = None
        self.is_alone = False
        self._order = itertools.count()

    def run_later(self, now: float) -> None:
        """Run the calls that are due."""
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Schedule a call in this number of seconds."""
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self._order), call))

    def note(self, node: Node | None, text: str) -> None:
        """Record an act."""
        place = f"node {node.name} (root {node.tree.root}): " if node else ""
        self.acts.append(Act(time.time(), place + text))

    def excuse(self, pid: int, reason: str) -> None:
        """Record that running tasks may be given back in a tree or a worker."""
        self.excuses.append(Excuse(pid, time.time(), reason))

    def alive(self, node: Node, role: str) -> list[int]:
        """Return the living processes of a role; `w` means workers."""
        if node.is_down:
            return []
        return [
            pid
            for pid, name in sorted(node.tree.living().items())
            if name.startswith("goque:") and _is_of(name.removeprefix("goque:"), role)
        ]

    def reaches_database(self, node: Node) -> bool:
        """Whether nothing that was done keeps this node from writing heartbeats to the database."""
        is_cut_off = node.proxy is not None and node.proxy.is_cut_off
        is_lease_stopped = not self.stopped.keys().isdisjoint(self.alive(node, "lease"))
        return not (is_cut_off or is_lease_stopped or self.arena.is_server_down or self.lock is not None)

    def stop(self, pid: int) -> None:
        """Stop a process with SIGSTOP."""
        self.stopped[pid] = time.monotonic()
        send(pid, signal.SIGSTOP)

    def resume(self, pid: int) -> None:
        """Resume a stopped process."""
        if self.stopped.pop(pid, None):
            send(pid, signal.SIGCONT)

    def resume_all(self, node: Node) -> None:
        """Resume all stopped processes of a node."""
        for pid in set(self.stopped).intersection(node.tree.living()):
            self.resume(pid)


def _is_of(name: str, role: str) -> bool:
    return name[:1] == "w" and name[1:2].isdigit() if role == "w" else name.startswith(role)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it still exists."""
    with contextlib.suppress(ProcessLookupError):  # the process has ended
        os.kill(pid, number)
