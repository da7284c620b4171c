"""The processes of a tree as plain data, which the root tells its lease; standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goque_supervisor.root.child import Child
    from goque_supervisor.root.supervisor import Root


def roster(root: Root) -> list[dict[str, Any]]:
    """List every process that has a pid; `started_at` is a CLOCK_MONOTONIC second."""
    return [*_above_children(root), *(_describe(child) for child in root.family.children if child.pid)]


def _above_children(root: Root) -> Iterator[dict[str, Any]]:
    yield {"name": "root", "pid": os.getpid(), "started_at": root.started_at}
    yield {"name": "guard", "pid": root.family.guard.pid, "started_at": root.started_at}
    for nursery in root.homes:
        yield {"name": f"{nursery.home} nursery", "pid": nursery.pid, "started_at": nursery.started_at}


def _describe(child: Child) -> dict[str, Any]:
    told: dict[str, Any] = {"name": child.spec.name, "pid": child.pid, "started_at": child.started_at}
    if child.spec.role == "worker":
        leaves = child.stop_by or child.killed_for is not None or child.retire_reason
        told |= {
            "type": child.task_type,
            "state": "ending" if leaves else "ready" if child.ready_at else "booting",
            "box": str(child.box.path) if child.box is not None else "",
        }
    return told
