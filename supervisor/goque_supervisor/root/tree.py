"""The tree as data: which processes a supervisor keeps alive, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from goque_supervisor.settings import MAX_PREFETCH, SuperviseOptions


class NurseryKind(StrEnum):
    """Which nursery forks a child: the one with goque's own modules, or the one with the app."""

    ACTORS = "actors"
    APP = "app"


@dataclass(frozen=True)
class ChildSpec:
    """What to start, and how long it may take to stop.

    Attributes:
        name: unique in the tree, and what logs call it.
        role: which loop runs in it.
        home: the nursery that forks it; only the app's nursery has user code.
        shutdown: seconds from the polite word to SIGKILL.
    """

    name: str
    role: str
    home: NurseryKind = NurseryKind.ACTORS
    shutdown: float = 5.0


@dataclass(frozen=True)
class PoolGroupSpec:
    """One task type: a fetcher and its workers; `processor` is a ProcessorSpec as plain data."""

    type: str
    processor: dict[str, Any]
    keys: tuple[str, str] = field(repr=False)
    fetcher_home: NurseryKind = NurseryKind.ACTORS

    @property
    def workers(self) -> int:
        """How many worker processes run."""
        return int(self.processor["options"]["workers"])

    @property
    def grace(self) -> float:
        """Seconds between the polite interrupt of a handler and SIGKILL."""
        return float(self.processor["options"]["timeout_grace"])

    @property
    def most_jobs(self) -> int:
        """How many jobs a worker may hold at once: what it was sent, and as many whose end is not acknowledged."""
        return int(self.processor["options"].get("concurrency", 100)) + 2 * MAX_PREFETCH

    @property
    def fetcher(self) -> ChildSpec:
        """The process that reads and writes this type's rows."""
        return ChildSpec(f"fetcher[{self.type}]", "fetcher", self.fetcher_home)

    def worker(self, slot: int) -> ChildSpec:
        """Return the process in one worker slot."""
        return ChildSpec(f"worker[{self.type}:{slot}]", "worker", NurseryKind.APP)


@dataclass(frozen=True)
class Tree:
    """The whole tree below the root, in the order in which it starts."""

    lease: ChildSpec
    monitor: ChildSpec | None
    groups: list[PoolGroupSpec]
    services: list[ChildSpec]


def build_tree(options: SuperviseOptions, app: dict[str, Any]) -> Tree:
    """Lay out the tree that these options and this app ask for.

    Who makes spans starts where the app is imported, if the app makes the provider; else only who runs its code does.
    """
    home = NurseryKind.APP if app["traces"] else NurseryKind.ACTORS
    return Tree(
        lease=ChildSpec("lease", "lease"),
        monitor=ChildSpec("monitor", "monitor") if "monitor" in options.roles else None,
        groups=[
            PoolGroupSpec(spec["type"], spec, tuple(app["keys"][spec["type"]]), home)
            for spec in app["types"]
            if "processors" in options.roles and options.runs(spec["type"])
        ],
        services=[
            ChildSpec(role, role, NurseryKind.APP if role == "scheduler" else home)
            for role in ("healer", "cleaner", "scheduler")
            if role in options.roles and (role != "scheduler" or app["jobs"])
        ]
        + [ChildSpec("reloader", "reloader")] * options.reload,
    )
