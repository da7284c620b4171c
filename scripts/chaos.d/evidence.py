"""What is known of a chaos run when it has ended: what handlers wrote, what the tables have, what was done to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

NOTICED_WITHIN: Final = 10.0
"""Seconds after a failover in which every node has noticed what was lost."""


@dataclass
class Run:
    """One run of one task from the diary; `how` is empty if the diary has no end of the run."""

    task: str
    number: int
    pid: int
    root: int
    began: float
    temper: str
    ended: float = 0.0
    how: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A task in the table."""

    id: str
    type: str
    external_id: str
    status: str
    attempts: int


@dataclass(frozen=True)
class Attempt:
    """A failed attempt in the table."""

    task: str
    cause: str
    pid: int
    error: str


@dataclass(frozen=True)
class Excuse:
    """An event that gives running tasks back: in the tree of this root pid, or in the worker of this pid."""

    pid: int
    time: float
    reason: str


@dataclass(frozen=True)
class TaskState:
    """What a commit changes of a task."""

    status: str
    attempts: int
    claimed_by: str | None
    claims: int
    lost_claims: int
    steps: int = 0


@dataclass(frozen=True)
class LostCommits:
    """What a failover lost, by comparing the old primary with the new one.

    Attributes:
        time: when clients reached the new primary.
        tasks: those that the new primary does not have.
        moves: those that it knows in an earlier state.
        cancels: those that were canceled and are not.
    """

    time: float
    tasks: frozenset[str] = frozenset()
    moves: frozenset[str] = frozenset()
    cancels: frozenset[str] = frozenset()

    @classmethod
    def between(
        cls, before: Mapping[str, TaskState], after: Mapping[str, TaskState], time: float
    ) -> LostCommits:
        """Compare the state of every task on the old primary with that on the new one."""
        moves = frozenset(task for task in before.keys() & after.keys() if before[task] != after[task])
        cancels = frozenset(task for task in moves if before[task].status == "canceled")
        return cls(time, frozenset(before.keys() - after.keys()), moves, cancels)

    def explains(self, run: Run) -> bool:
        """Whether the claim or the end of a run may be among what was lost."""
        return run.task in self.moves and run.began <= self.time + NOTICED_WITHIN


@dataclass
class Evidence:
    """The facts at the end of a run.

    Attributes:
        diary: the words of each line in the handlers' diary.
        rows: all tasks.
        attempts: all failed attempts, oldest first.
        enqueued: ids of tasks whose enqueue was acknowledged.
        canceled: ids of tasks for which `cancel_task` returned True.
        excuses: the events that gave running tasks back.
        killed: pids of workers that the nemesis killed, directly or with their root.
        lost_commits: what each failover lost.
        edges: what tasks of flows need: the task, the need, and which end will do.
    """

    diary: list[list[str]]
    rows: list[Row]
    attempts: list[Attempt]
    enqueued: Collection[str] = ()
    canceled: Collection[str] = ()
    excuses: list[Excuse] = field(default_factory=list)
    killed: Collection[int] = ()
    lost_commits: list[LostCommits] = field(default_factory=list)
    edges: Collection[tuple[str, str, str]] = ()


def read_runs(diary: Iterable[list[str]]) -> dict[str, list[Run]]:
    """Return the runs of each task, in the order of their starts."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for words in diary:
        match words:
            case ["start", task, number, pid, root, time, temper]:
                runs[task].append(Run(task, int(number), int(pid), int(root), float(time), temper))
            case ["end", task, number, time, how]:
                for run in runs[task]:
                    if run.number == int(number) and not run.how:
                        run.ended, run.how = float(time), how
    return runs
