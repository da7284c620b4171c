"""The page of limits: each type that has some, and how each of its keys uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.describe.limit_use import describe_next_start
from goque.describe.limit_words import describe_changes, describe_limits, shown_key
from goque.storage.contract import HeldTask, KeyUse, LimitUse, NodeRow, Owner

MAX_NODES: Final = 6
MAX_TASKS: Final = 6
"""How many nodes that hold places of a key are shown, and how many of its tasks."""

MAX_CHOICES: Final = 200


@dataclass(frozen=True)
class HolderView:
    """A node that holds places.

    Attributes:
        node: its id.
        host: empty if the table no longer has the node.
        tasks: some of the tasks.
        more: how many others it has.
    """

    node: str
    host: str
    tasks: Sequence[str]
    more: int


@dataclass(frozen=True)
class KeyView:
    """One line of the table of keys.

    Attributes:
        use: what runs and waits.
        name: the key as `shown_key` returns it.
        size: how many of it may run at once, None without such a limit.
        next_start: when the next task of it may start, in words.
        holders: who holds its places.
        more: how many tasks run on other nodes.
    """

    use: KeyUse
    name: str
    size: int | None
    next_start: str
    holders: Sequence[HolderView]
    more: int


@dataclass(frozen=True)
class TypeLimitsView:
    """One type; `was_set` is what was set at run time, empty if nothing was; `next_start` is in words."""

    use: LimitUse
    words: str
    declared: str
    was_set: str
    next_start: str
    keys: Sequence[KeyView]


def limits_page(request: Request) -> Response:
    """Show the types that have limits or keys."""
    dashboard = dashboard_of(request)
    storage = dashboard.ready_storage()
    asked = request.query_params.get("type", "")
    nodes = {node.id: node for node in storage.recent_nodes()}
    policies = storage.type_policies()
    uses = dashboard.limits.uses()
    return page(
        request,
        "limits.html",
        types=[
            _type_view(use, nodes, paused=use.type in policies and policies[use.type].paused)
            for use in uses
            if asked in ("", use.type)
        ],
        asked=asked,
        policies=policies,
        others=sorted(set(policies) - {use.type for use in uses})[:MAX_CHOICES],
        now=datetime.now(UTC),
    )


def _type_view(use: LimitUse, nodes: Mapping[str, NodeRow], *, paused: bool) -> TypeLimitsView:
    return TypeLimitsView(
        use=use,
        words=describe_limits(use.limits),
        declared=describe_limits(use.declared),
        was_set=describe_changes(use.changes),
        next_start=describe_next_start(use, paused=paused),
        keys=[_key_view(key, use, nodes, paused=paused) for key in use.keys],
    )


def _key_view(key: KeyUse, use: LimitUse, nodes: Mapping[str, NodeRow], *, paused: bool) -> KeyView:
    shown = key.owners[:MAX_NODES]
    ids = {one.owner for one in shown}
    named = [task for task in key.holders if task.owner in ids][:MAX_TASKS]
    size = use.limits.per_key if key.key else None
    return KeyView(
        use=key,
        name=shown_key(key.key),
        size=size,
        next_start=describe_next_start(use, key, paused=paused),
        holders=_holders(shown, named, nodes),
        more=max(0, key.running - sum(owner.running for owner in shown)),
    )


def _holders(
    owners: Sequence[Owner], named: Sequence[HeldTask], nodes: Mapping[str, NodeRow]
) -> list[HolderView]:
    views = []
    for one in owners:
        host = nodes[one.owner].host if one.owner in nodes else ""
        tasks = [task.id for task in named if task.owner == one.owner]
        views.append(HolderView(one.owner, host, tasks, max(0, one.running - len(tasks))))
    return views
