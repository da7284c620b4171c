"""Says in words how the limits of a type are used, and what holds its tasks back. No I/O happens here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from goque.describe.task_state import lasting
from goque.storage.contract import KeyUse, LimitUse, NodeRow, Owner

NOTHING_WAITS: Final = "nothing waits"
WAITS_FOR_PLACE: Final = "when a place is free"


def has_limits(use: LimitUse) -> bool:
    """Return whether a type is held back by anything now, or takes turns between keys."""
    has_keys = use.has_more_keys or any(
        key.key for key in use.keys
    )  # all tasks without a key are one of them
    return bool(use.limits or use.changes is not None or use.next_start or has_keys)


def describe_next_start(use: LimitUse, key: KeyUse | None = None, *, paused: bool = False) -> str:
    """Say when the next task may start, and if only a place or a time is missing, which.

    The answers are `now`, `in 12s`, `when a place is free`, `in 12s, if a place is free`, `nothing waits` and `when it
    is resumed`. Of a type, `when a place is free, or in 12s` if one key waits for a place and another for a time, and
    `in 12s at the latest` or `as its keys allow` where it has too many keys to look at all of them.

    Args:
        use: the type.
        key: one of its keys, which waits for what its type waits for too.
        paused: whether nobody claims the type.
    """
    if not (use if key is None else key).waiting:
        return NOTHING_WAITS
    if paused:
        return "when it is resumed"
    is_full = use.limits.limit is not None and use.running >= use.limits.limit
    if key is None:
        return _next_of_type(use, is_full=is_full)
    if key.key and use.limits.per_key is not None:
        is_full |= key.running >= use.limits.per_key
    return _when(max(use.next_start, key.next_start, key.due_in or 0.0), is_full=is_full)


def _next_of_type(use: LimitUse, *, is_full: bool) -> str:
    if use.start_in is None:
        return WAITS_FOR_PLACE if is_full or use.is_start_known else "as its keys allow"
    text = _when(use.start_in, is_full=is_full)
    if is_full or use.start_in == 0:
        return text
    if use.is_key_full:
        text = f"{WAITS_FOR_PLACE}, or {text}"
    return text if use.is_start_known else f"{text} at the latest"


def _when(seconds: float, *, is_full: bool) -> str:
    if seconds <= 0:
        return WAITS_FOR_PLACE if is_full else "now"
    return f"in {lasting(math.ceil(seconds))}{', if a place is free' if is_full else ''}"


def holding_nodes(owners: Iterable[Owner], nodes: Mapping[str, NodeRow]) -> list[str]:
    """Return the hosts of the nodes that hold places: `web1`, or `web1 pid 12` where one host has several.

    Args:
        owners: the nodes that hold places.
        nodes: the nodes in the table, by their ids.
    """
    hosts = [node.host for node in nodes.values()]
    names = []
    for owner in dict.fromkeys(one.owner for one in owners):
        node = nodes.get(owner)
        if node is None:
            names.append(f"{owner} (not known)")
            continue
        name = node.host if hosts.count(node.host) == 1 else f"{node.host} pid {node.pid}"
        names.append(name if node.state == "alive" else f"{name} ({node.state})")
    return sorted(names)
