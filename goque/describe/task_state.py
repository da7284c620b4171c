"""Says in words what state a task is in and what happens next. No I/O happens here."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from goque.describe.need_words import describe_bad_need, describe_block
from goque.storage.contract import LimitLoad, NodeRow, TaskLinks, TypePolicy
from goque.task_row import CLAIMED_STATUSES, IN_FLOW, IS_NEEDED, TERMINAL_STATUSES, TaskRow, TaskStatus
from goque.task_rules.limits import NO_KEY

_UNITS: Final = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60))

CLAIMED_BY_GO: Final = "claimed now by the Go library"

LINES_WITHOUT_A_RUN: Final = ("reset attempts: ", "canceled: needs ", "blocked again: ")
"""How those lines of `errors` begin that goque writes without a run."""

UNTOUCHED_STATUSES: Final = frozenset({TaskStatus.NEW, TaskStatus.CANCELED, TaskStatus.BLOCKED})


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
    failures = [line for line in (row.errors or "").splitlines() if not line.startswith(LINES_WITHOUT_A_RUN)]
    if row.attempts or failures or row.status not in UNTOUCHED_STATUSES:
        return "run by the Go library, which does not count its claims"
    is_untouched = row.status != TaskStatus.CANCELED and not row.errors
    return "never claimed" if is_untouched else "never claimed by a supervisor"


def may_be_held_back(row: TaskRow, policy: TypePolicy, now: datetime) -> bool:
    """Return whether limits may be why a task waits: it is due, and its type has some."""
    is_due = row.status in (TaskStatus.NEW, TaskStatus.ERROR) and row.next_attempt_at <= now
    return is_due and policy.is_limited and not policy.paused


def describe_next(
    row: TaskRow,
    policy: TypePolicy | None,
    node: NodeRow | None,
    now: datetime,
    load: LimitLoad | None = None,
    *,
    links: TaskLinks | None = None,
    pause: str = "",
) -> str:
    """Say what happens to a task next if nobody intervenes.

    Args:
        row: the task.
        policy: the published policy of its type, None if no supervisor has run the type.
        node: the supervisor named in `claimed_by`, None if the table has no such node.
        now: the current time.
        load: how much of the limits of its type and key is in use, if it may be held back by them.
        links: what it needs, if it is in a flow or needs others.
        pause: the signal or the sleep that keeps it from going on, in words; empty if neither does.
    """
    if row.status in TERMINAL_STATUSES:
        return _after_the_end(row, policy, node, now, links)
    if row.status == TaskStatus.BLOCKED:
        return describe_block(links)
    if row.status in CLAIMED_STATUSES:
        return _while_claimed(row, policy, node, now)
    if pause:
        return f"{pause}; the type is paused" if policy is not None and policy.paused else pause
    return _while_waiting(row, policy, now, load)


def _while_waiting(row: TaskRow, policy: TypePolicy | None, now: datetime, load: LimitLoad | None) -> str:
    attempt = f"attempt {row.attempts + 1}" + (f" of {policy.max_attempts}" if policy else "")
    wait = (row.next_attempt_at - now).total_seconds()
    due = f"is due in {lasting(wait)}" if wait > 0 else f"has been due for {lasting(abs(wait))}"
    if policy is None:
        return f"{attempt} {due}; no supervisor has run tasks of type {row.type!r} yet"
    if policy.paused:
        return f"{attempt} {due}; the type is paused; `goque resume {row.type}` starts it again"
    held = _held_back(load, row.limit_key or NO_KEY) if load is not None else ""
    return f"{attempt} {due}; {held}" if held else f"{attempt} {due}"


def lasting(seconds: float) -> str:
    """Return a time in the largest unit with a value of 2 or more: 90s, 45m, 30h, 12d, 3y."""
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _held_back(load: LimitLoad, key: str) -> str:
    """Say which limit keeps a due task from starting; empty if none does."""
    limits = load.limits
    if limits.limit is not None and load.running >= limits.limit:
        return f"it waits for a place: {load.running:,} of {limits.limit:,} tasks of its type run"
    if key and limits.per_key is not None and load.key_running >= limits.per_key:
        return f"it waits for a place: {load.key_running:,} of {limits.per_key:,} tasks with its key run"
    if load.next_start > 0:
        return f"the next task of its type may start in {lasting(math.ceil(load.next_start))}"
    if load.key_next_start > 0:
        return f"the next task with its key may start in {lasting(math.ceil(load.key_next_start))}"
    return ""


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


def _after_the_end(
    row: TaskRow, policy: TypePolicy | None, node: NodeRow | None, now: datetime, links: TaskLinks | None
) -> str:
    if row.claimed_by:
        is_gone = node is None or node.state != "alive"
        return "its node is gone; a healer releases its claim" if is_gone else "its handler is being stopped"
    text = describe_bad_need(row, links) or "finished"
    if row.status == TaskStatus.ATTEMPTS_LEFT:
        text = f"failed; `goque reset {row.id}` tries it again"
    deletion = _deletion(row, policy, now)
    return f"{text}; {deletion}" if deletion else text


def _deletion(row: TaskRow, policy: TypePolicy | None, now: datetime) -> str:
    """Say when the cleaner deletes an ended task; empty if that is not known."""
    if (row.flags or 0) & IN_FLOW:
        return "will be deleted with its flow"
    if (row.flags or 0) & IS_NEEDED:
        return "will be deleted after the tasks that need it"
    if policy is None or row.updated_at is None:
        return ""
    failed = row.status == TaskStatus.ATTEMPTS_LEFT
    left = policy.cleaner_keep_failed if failed else policy.cleaner_age
    left -= (now - row.updated_at).total_seconds()
    return f"will be deleted {f'in {lasting(left)}' if left > 0 else 'in the next round of the cleaner'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
