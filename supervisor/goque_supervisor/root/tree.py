"""The tree as data: which processes a supervisor keeps alive, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
        pool: the pool that it works for, empty for a service.
        slot: the worker slot that it fills.
        max_jobs: how many jobs a worker may hold at once; its black box has room for so many.
        shutdown: seconds from the order to stop to SIGKILL.
        is_async: whether a worker runs `async def` handlers.
    """

    name: str
    role: str
    nursery: NurseryKind = NurseryKind.ACTORS
    pool: str = ""
    slot: int = 0
    max_jobs: int = 0
    shutdown: float = 5.0
    is_async: bool = False


@dataclass(frozen=True)
class PoolGroupSpec:
    """One pool: a fetcher and its workers.

    Attributes:
        name: the name of the pool.
        processors: the ProcessorSpec of each of its types, as plain data.
        options: its PoolOptions, as plain data.
        keys: the keys of its socket.
        fetcher_nursery: the nursery that forks its fetcher.
        leaving: the processors of types that an earlier import of the app had in the pool.
        spawns: whether its workers are spawned, each with an import of the app, and not forked.
    """

    name: str
    processors: tuple[dict[str, Any], ...]
    options: dict[str, Any]
    keys: tuple[str, str] = field(repr=False)
    fetcher_nursery: NurseryKind = NurseryKind.ACTORS
    leaving: tuple[dict[str, Any], ...] = ()
    spawns: bool = False

    def after(self, former: PoolGroupSpec) -> PoolGroupSpec:
        """Return this spec with the types that the pool had before, whose tasks in flight come to their end in it."""
        before = {spec["type"]: spec for spec in (*former.leaving, *former.processors)}
        return replace(self, leaving=tuple(spec for name, spec in before.items() if name not in self.types))

    def has_handlers_beyond(self, former: PoolGroupSpec) -> bool:
        """Return whether it has a type that the pool did not have before, or whose handler is of another kind now."""
        kinds = {(spec["type"], spec["is_async"]) for spec in former.processors}
        return any((spec["type"], spec["is_async"]) not in kinds for spec in self.processors)

    @property
    def title(self) -> str:
        """What logs call it: the type that has it alone, or the pool."""
        return f"type {self.name!r}" if self.types == [self.name] else f"pool {self.name!r}"

    @property
    def only_type(self) -> str | None:
        """Its type, if it has one alone."""
        return self.types[0] if len(self.processors) == 1 and not self.leaving else None

    @property
    def types(self) -> list[str]:
        """Its task types."""
        return [processor["type"] for processor in self.processors]

    @property
    def held_types(self) -> list[str]:
        """The types of which its fetcher may hold tasks."""
        return [processor["type"] for processor in (*self.processors, *self.leaving)]

    @property
    def workers(self) -> int:
        """The most worker processes."""
        return self.plain_workers + self.async_workers

    def fewest(self, *, is_async: bool) -> int:
        """Return how many workers of a kind run even without work.

        By default it is one where a worker is forked, and all where each has to import the app.
        """
        if self.options["min_workers"] is None and self.spawns:
            return len(self.slots(is_async=is_async))
        fewest = int(self.options["min_workers"] or 1)
        if is_async:
            return 0 if self.plain_workers else min(fewest, self.async_workers)
        return min(fewest, self.plain_workers)

    def slots(self, *, is_async: bool) -> range:
        """Return the slots of the workers of a kind. Those of `async def` handlers come after the others."""
        return range(self.plain_workers, self.workers) if is_async else range(self.plain_workers)

    @property
    def plain_workers(self) -> int:
        """The most of them that run `def` handlers."""
        has_plain = not all(processor["is_async"] for processor in self.processors)
        return int(self.options["workers"]) if has_plain else 0

    @property
    def async_workers(self) -> int:
        """The most of them that run `async def` handlers."""
        has_async = any(processor["is_async"] for processor in self.processors)
        return int(self.options["async_workers"]) if has_async else 0

    @property
    def max_jobs(self) -> int:
        """How many jobs a worker may hold at once: what it was sent, and as many whose end is not acknowledged."""
        return int(self.options["concurrency"]) + 2 * MAX_PREFETCH

    @property
    def fetcher(self) -> ChildSpec:
        """The process that reads and writes the rows of its types."""
        return ChildSpec(f"fetcher[{self.name}]", "fetcher", self.fetcher_nursery, self.name)

    def worker(self, slot: int) -> ChildSpec:
        """Return the process in one worker slot."""
        name = f"worker[{self.name}:{slot}]"
        is_async = slot >= self.plain_workers
        return ChildSpec(name, "worker", NurseryKind.APP, self.name, slot, self.max_jobs, is_async=is_async)

    def callback(self, call: int) -> ChildSpec:
        """Return the process that calls the user's functions about a crash."""
        return ChildSpec(f"callback[{self.name}:{call}]", "callback", NurseryKind.APP, self.name)

    def reporter(self, number: int) -> ChildSpec:
        """Return a process that calls the app's `on_failure`."""
        return ChildSpec(f"reporter[{self.name}:{number}]", "reporter", NurseryKind.APP, self.name)


@dataclass(frozen=True)
class HealedTasks:
    """The tasks of any type that the healer has charged with an attempt."""

    title: str = "tasks of dead nodes"

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
        monitor=ChildSpec("monitor", "monitor") if options.has_monitor else None,
        groups=list(_groups(options, app, nursery)) if "processors" in options.roles else [],
        services=[
            ChildSpec(role, role, NurseryKind.APP if role == "scheduler" else nursery)
            for role in ("healer", "cleaner", "scheduler")
            if role in options.roles and (role != "scheduler" or app["jobs"])
        ]
        + [ChildSpec("reloader", "reloader")] * options.reload,
    )


def _groups(options: SuperviseOptions, app: dict[str, Any], nursery: NurseryKind) -> Iterator[PoolGroupSpec]:
    """Yield the pools that have types which run here."""
    for name, pool_options in app["pools"].items():
        processors = tuple(
            spec for spec in app["types"] if spec["pool"] == name and options.runs(spec["type"], name)
        )
        if processors:
            yield PoolGroupSpec(
                name,
                processors,
                pool_options,
                tuple(app["keys"][name]),
                nursery,
                spawns=app["start_method"] == "spawn",
            )
