"""The tree as data: which processes a supervisor keeps alive, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from goque_supervisor.settings import MAX_PREFETCH, SuperviseOptions


class NurseryKind(StrEnum):
    """Which nursery forks a child: the one that has imported goque's own modules, or the one that has the app."""

    ACTORS = "actors"
    APP = "app"


@dataclass(frozen=True)
class ChildSpec:
    """What to start, and how long it may take to stop.

    Attributes:
        name: unique in the tree, and what logs call it.
        role: which loop runs in it.
        nursery: the nursery that forks it; only the app's nursery has user code.
        task_type: the type that it works for, if it belongs to a pool group.
        slot: the worker slot that it fills.
        max_jobs: how many jobs a worker may hold at once; its black box has room for so many.
        shutdown: seconds from the order to stop to SIGKILL.
    """

    name: str
    role: str
    nursery: NurseryKind = NurseryKind.ACTORS
    task_type: str = ""
    slot: int = 0
    max_jobs: int = 0
    shutdown: float = 5.0


@dataclass(frozen=True)
class PoolGroupSpec:
    """One task type: a fetcher and its workers; `processor` is a ProcessorSpec as plain data."""

    type: str
    processor: dict[str, Any]
    keys: tuple[str, str] = field(repr=False)
    fetcher_nursery: NurseryKind = NurseryKind.ACTORS

    @property
    def tasks(self) -> str:
        """What a log line calls its tasks."""
        return f"type {self.type!r}"

    @property
    def workers(self) -> int:
        """How many worker processes run."""
        return int(self.processor["options"]["workers"])

    @property
    def grace(self) -> float:
        """Seconds between the polite interrupt of a handler and SIGKILL."""
        return float(self.processor["options"]["timeout_grace"])

    @property
    def max_jobs(self) -> int:
        """How many jobs a worker may hold at once: what it was sent, and as many whose end is not acknowledged."""
        return int(self.processor["options"].get("concurrency", 100)) + 2 * MAX_PREFETCH

    @property
    def fetcher(self) -> ChildSpec:
        """The process that reads and writes this type's rows."""
        return ChildSpec(f"fetcher[{self.type}]", "fetcher", self.fetcher_nursery, self.type)

    def worker(self, slot: int) -> ChildSpec:
        """Return the process in one worker slot."""
        name = f"worker[{self.type}:{slot}]"
        return ChildSpec(name, "worker", NurseryKind.APP, self.type, slot, self.max_jobs)

    def callback(self, call: int) -> ChildSpec:
        """Return the process that calls the user's functions about a crash."""
        return ChildSpec(f"callback[{self.type}:{call}]", "callback", NurseryKind.APP, self.type)

    def reporter(self, number: int) -> ChildSpec:
        """Return a process that calls the app's `on_failure`."""
        return ChildSpec(f"reporter[{self.type}:{number}]", "reporter", NurseryKind.APP, self.type)


@dataclass(frozen=True)
class HealedTasks:
    """The tasks of any type that the healer has charged with an attempt."""

    tasks: str = "tasks of dead nodes"

    def reporter(self, number: int) -> ChildSpec:
        """Return a process that calls the app's `on_failure`."""
        return ChildSpec(f"reporter[healer:{number}]", "reporter", NurseryKind.APP)


@dataclass(frozen=True)
class Tree:
    """The whole tree below the root, in the order in which it starts."""

    lease: ChildSpec
    monitor: ChildSpec | None
    groups: list[PoolGroupSpec]
    services: list[ChildSpec]


def build_tree(options: SuperviseOptions, app: dict[str, Any]) -> Tree:
    """Lay out the tree that these options and this app ask for.

    Processes that make spans are forked where the app is imported if the app makes the tracer provider. Otherwise
    only those that run the app's code are forked there.
    """
    nursery = NurseryKind.APP if app["traces"] else NurseryKind.ACTORS
    return Tree(
        lease=ChildSpec("lease", "lease"),
        monitor=ChildSpec("monitor", "monitor") if "monitor" in options.roles else None,
        groups=[
            PoolGroupSpec(spec["type"], spec, tuple(app["keys"][spec["type"]]), nursery)
            for spec in app["types"]
            if "processors" in options.roles and options.runs(spec["type"])
        ],
        services=[
            ChildSpec(role, role, NurseryKind.APP if role == "scheduler" else nursery)
            for role in ("healer", "cleaner", "scheduler")
            if role in options.roles and (role != "scheduler" or app["jobs"])
        ]
        + [ChildSpec("reloader", "reloader")] * options.reload,
    )
