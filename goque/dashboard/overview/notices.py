"""Finds what is unwell in a queue, and says what to do about it. No I/O happens here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from urllib.parse import urlencode

from goque.dashboard import formats
from goque.dashboard.overview.figures import TypeView
from goque.describe.node_info import NodeInfo, PoolInfo
from goque.storage.contract import NodeRow

TOO_LONG: Final = 60.0
"""Seconds that a task may be due before its wait is called long."""

SILENT: Final = 20.0
"""Seconds without a heartbeat after which a node is called silent; others declare it dead after `--node-timeout`."""

MAX_NAMED: Final = 3
MAX_NOTICES: Final = 8
RECENTLY: Final = 3600.0


@dataclass(frozen=True)
class Notice:
    """One thing that is unwell.

    Attributes:
        level: how bad it is.
        text: what is unwell.
        advice: what to do; text between backticks is code.
        link: the page that shows more, under the dashboard's prefix.
        link_text: what that link says.
    """

    level: Literal["bad", "warn"]
    text: str
    advice: str
    link: str
    link_text: str


@dataclass(frozen=True)
class Node:
    """One supervisor and its last report, None if it has not reported its tree."""

    row: NodeRow
    info: NodeInfo | None

    @property
    def is_alive(self) -> bool:
        """Whether it sends heartbeats, as far as others know."""
        return self.row.state == "alive"


def notices(types: Sequence[TypeView], nodes: Sequence[Node], now: datetime) -> list[Notice]:
    """Return what is unwell, the worst first."""
    alive = [node for node in nodes if node.is_alive]
    found = [*_about_nodes(types, nodes, alive, now), *_about_pools(alive), *_about_types(types, alive)]
    return sorted(found, key=lambda one: one.level != "bad")[:MAX_NOTICES]


def _about_nodes(
    types: Sequence[TypeView], nodes: Sequence[Node], alive: Sequence[Node], now: datetime
) -> Iterator[Notice]:
    waiting = sum(one.waiting for one in types)
    if not alive and (waiting or nodes):
        what = _waits(waiting) if waiting else "nothing waits"
        yield Notice(
            "bad",
            f"No supervisor runs; {what}.",
            "Start one: `goque supervise app:registry`.",
            "/nodes",
            "Nodes",
        )
    for node in alive:
        silent = (now - node.row.heartbeat_at).total_seconds()
        if silent > max(SILENT, (node.info.node_timeout if node.info else 30.0) * 0.7):
            yield Notice(
                "bad",
                f"{node.row.host} (pid {node.row.pid}) has sent no heartbeat for {formats.seconds(silent)}.",
                "Check whether its machine is up and reaches the database. Other nodes will take its tasks.",
                f"/nodes#node-{node.row.id}",
                "The node",
            )
    dead = [
        node for node in nodes
        if node.row.state == "dead" and (now - node.row.heartbeat_at).total_seconds() < RECENTLY
    ]  # fmt: skip
    if dead:
        names = _named(f"{node.row.host} (pid {node.row.pid})" for node in dead)
        yield Notice(
            "warn",
            f"Died in the last hour without shutting down: {names}.",
            "Other nodes took its tasks. Look for its end in its log, and for OOM kills in the machine's.",
            "/nodes#ended",
            "Ended nodes",
        )


def _about_pools(alive: Iterable[Node]) -> Iterator[Notice]:
    for node in alive:
        for pool in node.info.pools if node.info else ():
            if pool.held:
                yield Notice(
                    "bad",
                    f"Workers of pool {pool.name} do not start on {node.row.host}.",
                    "Read the error in its log, or run `goque check app:registry`. Then deploy, and send SIGHUP.",
                    pool_link(pool.name),
                    "The pool",
                )
            elif node.info and not _has_fetcher(node.info, pool):
                yield Notice(
                    "bad",
                    f"Pool {pool.name} has no fetcher on {node.row.host}: it claims no tasks there.",
                    "The supervisor starts it again. If this stays, its log says why it ends.",
                    f"/nodes#node-{node.row.id}",
                    "The node",
                )


def _has_fetcher(info: NodeInfo, pool: PoolInfo) -> bool:
    return info.stopping or any(one.name == f"fetcher[{pool.name}]" for one in info.processes)


def _about_types(types: Sequence[TypeView], alive: Sequence[Node]) -> Iterator[Notice]:
    reported = {name for node in alive if node.info for pool in node.info.pools for name in pool.types}
    all_report = bool(alive) and all(node.info for node in alive)
    late = [one for one in types if one.waiting and one.waited > TOO_LONG and not one.is_paused]
    # another library may run a type that no supervisor has published: then its tasks do not wait for long
    nobody = [
        one
        for one in types
        if one.waiting and all_report and one.name not in reported
        if one.is_published or one.waited > TOO_LONG
    ]
    if nobody:
        waiting = sum(one.waiting for one in nobody)
        yield Notice(
            "bad",
            f"No node runs {_named(one.name for one in nobody)}; {_waits(waiting)}.",
            "Start a supervisor with an app that has this type, or check `--types`, `--exclude-types` and `--pools`.",
            type_link(nobody[0].name),
            "The type" if len(nobody) == 1 else "The first",
        )
    paused = [one for one in types if one.is_paused]
    if paused:
        waiting = sum(one.waiting for one in paused)
        yield Notice(
            "warn",
            f"Paused: {_named(one.name for one in paused)}; {_waits(waiting)}.",
            f"Resume: `goque resume {paused[0].name}`, or the button of the type.",
            type_link(paused[0].name),
            "The type" if len(paused) == 1 else "The first",
        )
    unowned = {one.name for one in nobody}
    for one in sorted(late, key=lambda one: -one.waited)[:MAX_NAMED]:
        if one.name not in unowned and alive:
            yield Notice(
                "warn",
                f"{one.name}: the oldest task has been due for {formats.seconds(one.waited)}.",
                "Check whether its workers are busy or its limits hold it back. Add workers or nodes.",
                type_link(one.name),
                "The type",
            )


def _waits(number: int) -> str:
    return "1 task waits" if number == 1 else f"{formats.count(number)} tasks wait"


def _named(names: Iterable[str]) -> str:
    """Return some of the names, and how many others there are."""
    known = list(names)
    more = len(known) - MAX_NAMED
    return ", ".join(known[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def type_link(name: str) -> str:
    """Return the page of a type, under the dashboard's prefix. The name may contain anything, so it is in the query."""
    return "/types/type?" + urlencode({"name": name})


def pool_link(name: str) -> str:
    """Return the page of a pool, under the dashboard's prefix."""
    return "/types/pool?" + urlencode({"name": name})
