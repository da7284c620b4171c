"""What a nemesis works on: the arena, what it has done so far, and what it is still to do."""

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
    """What was done, when (epoch seconds)."""

    time: float
    text: str


class Stage:
    """The books of a nemesis.

    Attributes:
        arena: where it acts.
        random: its seeded choices.
        acts: what it did.
        excuses: what gives back runs.
        lost_commits: what each failover lost.
        killed: pids of workers that it has killed.
        stopped: when each stopped process was stopped.
        later: what is still to happen.
        lock: holds the lock of the database, if it is held.
        is_alone: whether an act is going on beside which there must be no other.
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
        """Do what is due."""
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self._order), call))

    def note(self, node: Node | None, text: str) -> None:
        """Write down an act."""
        place = f"node {node.name} (root {node.tree.root}): " if node else ""
        self.acts.append(Act(time.time(), place + text))

    def excuse(self, pid: int, reason: str) -> None:
        """Write down that what runs there may be given back."""
        self.excuses.append(Excuse(pid, time.time(), reason))

    def alive(self, node: Node, role: str) -> list[int]:
        """Return the living processes of a role, `w` for workers."""
        if node.is_down:
            return []
        return [
            pid
            for pid, name in sorted(node.tree.living().items())
            if name.startswith("goque:") and _is_of(name.removeprefix("goque:"), role)
        ]

    def stop(self, pid: int) -> None:
        """Stop a process where it is."""
        self.stopped[pid] = time.monotonic()
        send(pid, signal.SIGSTOP)

    def resume(self, pid: int) -> None:
        """Let a stopped process go on."""
        if self.stopped.pop(pid, None):
            send(pid, signal.SIGCONT)

    def resume_all(self, node: Node) -> None:
        """Let all of a node go on."""
        for pid in set(self.stopped).intersection(node.tree.living()):
            self.resume(pid)


def _is_of(name: str, role: str) -> bool:
    return name[:1] == "w" and name[1:2].isdigit() if role == "w" else name.startswith(role)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal, if there is still somebody to hear it."""
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(pid, number)
