"""Says in words what state a task is in and what happens next. No I/O happens here."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from goque.storage.contract import NodeRow, TypePolicy
from goque.task import CLAIMED_STATUSES, TERMINAL_STATUSES, TaskRow, TaskStatus

_UNITS: Final = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60))

CLAIMED_BY_GO: Final = "claimed now by the Go library"


def describe_claims(row: TaskRow, node: NodeRow | None) -> str:
    """Say how often a task was claimed, and by which node it is claimed now.

    Args:
        row: the task.
        node: the supervisor named in `claimed_by`, None if the table has no such node.
    """
    if not row.claims:
        return _without_claims(row)
    text = f"claimed {_times(row.claims)}"
    if row.lost_claims:
        text += f", the last {_times(row.lost_claims)} by a node that died before the handler started"
    if not row.claimed_by:
        return f"{text}, {CLAIMED_BY_GO if row.status in CLAIMED_STATUSES else 'not claimed now'}"
    where = f"{node.host}, supervisor pid {node.pid}, {node.state}" if node else "no longer known"
    return f"{text}, claimed now by node {row.claimed_by} ({where})"


def _without_claims(row: TaskRow) -> str:
    """Say who had a task that no supervisor has claimed. The Go library counts no claims, but moves the row."""
    if row.status in CLAIMED_STATUSES:
        return CLAIMED_BY_GO
    if row.attempts or row.errors or row.status not in (TaskStatus.NEW, TaskStatus.CANCELED):
        return "run by the Go library, which does not count its claims"
    return "never claimed" if row.status == TaskStatus.NEW else "never claimed by a supervisor"


def describe_next(row: TaskRow, policy: TypePolicy | None, node: NodeRow | None, now: datetime) -> str:
    """Say what happens to a task next if nobody intervenes.

    Args:
        row: the task.
        policy: the published policy of its type, None if no supervisor has run the type.
        node: the supervisor named in `claimed_by`, None if the table has no such node.
        now: the current time.
    """
    if row.status in TERMINAL_STATUSES:
        return _after_the_end(row, policy, node, now)
    if row.status in CLAIMED_STATUSES:
        return _while_claimed(row, policy, node, now)
    attempt = f"attempt {row.attempts + 1}" + (f" of {policy.max_attempts}" if policy else "")
    wait = (row.next_attempt_at - now).total_seconds()
    due = f"is due in {lasting(wait)}" if wait > 0 else f"has been due for {lasting(abs(wait))}"
    if policy is None:
        return f"{attempt} {due}; no supervisor has run tasks of type {row.type!r} yet"
    return f"{attempt} {due}" + (
        f"; the type is paused; `goque resume {row.type}` starts it again" * policy.paused
    )


def lasting(seconds: float) -> str:
    """Return a time in the largest unit with a value of 2 or more: 90s, 45m, 30h, 12d, 3y."""
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _while_claimed(row: TaskRow, policy: TypePolicy | None, node: NodeRow | None, now: datetime) -> str:
    length = lasting(max(0.0, (now - (row.updated_at or row.created_at)).total_seconds()))
    doing = "running" if row.status == TaskStatus.PROCESSING else "waiting for a free worker"
    if not row.claimed_by:
        return f"{doing} for {length}, claimed by the Go library; a healer returns it when it is too old"
    if node is None or node.state != "alive":
        is_charged = row.status == TaskStatus.PROCESSING and policy is not None
        charge = "and charges" if is_charged else "without charging"
        return f"its node is gone; a healer returns it {charge} an attempt"
    return f"{doing} on {node.host} for {length}"


def _after_the_end(row: TaskRow, policy: TypePolicy | None, node: NodeRow | None, now: datetime) -> str:
    if row.claimed_by:
        is_gone = node is None or node.state != "alive"
        return "its node is gone; a healer releases its claim" if is_gone else "its handler is being stopped"
    text = "finished"
    if row.status == TaskStatus.ATTEMPTS_LEFT:
        text = f"failed; `goque reset {row.id}` tries it again"
    if policy is None or row.updated_at is None:
        return text
    failed = row.status == TaskStatus.ATTEMPTS_LEFT
    left = policy.cleaner_keep_failed if failed else policy.cleaner_age
    left -= (now - row.updated_at).total_seconds()
    return (
        f"{text}; will be deleted {f'in {lasting(left)}' if left > 0 else 'in the next round of the cleaner'}"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
