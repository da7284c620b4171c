"""Decide whether a tree is alive and whether it is ready, with the reasons in words. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from goque_supervisor.metrics.prometheus import Snapshot

SILENT_AFTER: Final = 15.0
"""Seconds without a TreeState after which the root's loop counts as stuck. The root sends one every second."""

ROUND_TRIP: Final = 10.0
"""The maximum of seconds since a fetcher's last answer from the database."""

Reasons = Mapping[str, str]


def not_alive(heard_at: float, now: float) -> Reasons:
    """Return the reasons why the tree counts as stuck; empty if it is alive."""
    silent = now - heard_at
    return (
        {"tree": f"the supervisor process has not reported for {silent:.0f}s"}
        if silent >= SILENT_AFTER
        else {}
    )


def not_ready(snapshot: Snapshot, heard_at: float, now: float) -> Reasons:
    """Return the reasons why the tree cannot run tasks, by task type, `lease` or `tree`; empty if it can.

    A paused type counts as ready, because somebody paused it on purpose.
    """
    state = snapshot.state
    if not state:
        return {"tree": "starting"}
    reasons = dict(not_alive(heard_at, now))
    if state["stopping"]:
        reasons["tree"] = "stopping"
    elif state.get("quiet"):
        reasons["tree"] = "quiet"
    if not state["lease"]:
        reasons["lease"] = "the database accepts no heartbeats"
    for task_type, group in snapshot.types.items():
        if not group["fetcher"]:
            reasons[task_type] = "no fetcher"
        elif not group["ready"]:
            reasons[task_type] = "no worker can boot" if group["held"] else "no worker is ready"
        elif silence := _silence_of_database(snapshot, task_type, now):
            reasons[task_type] = silence
    return reasons


def _silence_of_database(snapshot: Snapshot, task_type: str, now: float) -> str | None:
    counts = snapshot.counters.get(task_type)
    answered_at = counts.database_answered_at if counts else 0.0
    if not answered_at:
        return "the database has not answered its fetcher yet"
    silent = now - answered_at
    return f"the database has not answered its fetcher for {silent:.0f}s" if silent > ROUND_TRIP else None
