"""What SIGUSR1 has the root say: every process of the tree, where it stands, and what it runs. It changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from goque_supervisor.root.child import Child

if TYPE_CHECKING:
    from goque_supervisor.root.pool_group import PoolGroup
    from goque_supervisor.root.supervisor import Root

MAX_JOBS = 10


def portrait(root: Root, now: float) -> tuple[str, list[str]]:
    """Describe a tree in a line, and in a block of further ones; `now` is a CLOCK_MONOTONIC second."""
    lines = [f"guard pid {root.family.guard.pid}"]
    lines += [
        f"{nursery.home} nursery pid {nursery.pid}, generation {nursery.generation}"
        f"{'' if nursery.ready else ', not ready'}"
        for nursery in root.homes
    ]
    lines += [_describe(child, now) for child in root.family.children if not child.task_type]
    for group in root.groups.values():
        lines += _describe_group(group, now)
    return f"the tree of pid {os.getpid()}: {', '.join(_state(root))}", lines


def _state(root: Root) -> Iterator[str]:
    if root.stopping is not None:
        yield "stopping"
    if root.is_quiet:
        yield "quiet (SIGUSR2 wakes it)"
    if not root.tenure.owner:
        yield "no lease yet"
    else:
        yield f"lease {'LOST' if root.tenure.is_lost else 'held'} as {root.tenure.owner}"
    restarts = ", ".join(f"{count} of {name}" for name, count in sorted(root.restarts.items()))
    yield f"restarts: {restarts or 'none'}"


def _describe_group(group: PoolGroup, now: float) -> Iterator[str]:
    notes = [f"{len(group.workers)} of {group.spec.workers} workers"]
    notes += ["held: its workers do not boot"] if group.boot.held else []
    notes += ["draining"] if group.draining else []
    notes += [f"{len(group.unburied)} dead workers not settled yet"] if group.unburied else []
    notes += [f"replaced: {count} for {reason}" for reason, count in sorted(group.restarts.items())]
    yield f"type {group.spec.type}: {', '.join(notes)}"
    yield f"  {_describe(group.fetcher, now) if group.fetcher else 'no fetcher'}, epoch {group.epoch}"
    for worker in group.workers:
        yield f"  {_describe(worker, now)}"
        yield from _describe_jobs(worker, now)


def _describe(child: Child, now: float) -> str:
    notes = [f"pid {child.pid}" if child.pid else "being forked", f"up {now - child.started_at:.0f}s"]
    notes += [] if child.ready_at else ["not ready"]
    notes += [f"generation {child.generation}"] if child.box is not None else []
    notes += [f"heard {now - child.beat_at:.1f}s ago"] if child.box is None and child.pid else []
    notes += [f"to be replaced: {child.retire_reason}"] if child.retire_reason else []
    notes += [f"killed: {child.killed_for}"] if child.killed_for else []
    notes += [f"killed in {child.stop_by - now:.0f}s if it has not stopped"] if child.stop_by else []
    return f"{child.spec.name} {', '.join(notes)}"


def _describe_jobs(worker: Child, now: float) -> Iterator[str]:
    if worker.box is None:
        return
    contents = worker.box.read()
    running = sorted(contents.running.values(), key=lambda job: job.started)
    for job in running[:MAX_JOBS]:
        yield f"    runs {job.task_id} for {now - job.started:.1f}s, times out in {job.deadline - now:.1f}s"
    if len(running) > MAX_JOBS:
        yield f"    and {len(running) - MAX_JOBS} more"
    if contents.finished:
        yield f"    has {len(contents.finished)} results that are not committed"
