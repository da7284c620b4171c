"""The actions on a group of failures: reset or cancel its open tasks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from goque.dashboard.failures.pages import find_group
from goque.dashboard.plans import BadFieldError, Field, Params, Plan, name_in
from goque.dashboard.state import Dashboard
from goque.describe.failure_words import describe_failure
from goque.storage.group_changes import GroupChange, cancel_group, reset_group

MAX_RATE: Final = 1_000_000
PER_SECOND: Final = "per_second"


def plan_reset_group(dashboard: Dashboard, params: Params) -> Plan:
    """Reset the open tasks of a group."""
    group = find_group(dashboard.storage, name_in(params, "group"))
    what = f"reset the open tasks of failures {group.group}"

    def act(who: str) -> str:
        steps = partial(reset_group, dashboard.storage, group.group, per_second=_per_second(params))
        return _start(dashboard, what, steps(), who)

    note = (
        f"{describe_failure(group)}. All tasks that wait for a retry after this failure, or have no attempt left, wait "
        "again without failed attempts. The steps that they have recorded are deleted; goque reset --failure "
        "--keep-steps keeps them."
    )
    return Plan(
        "Reset the open tasks of this group?",
        note,
        "Reset them",
        f"/failures/{group.group}",
        act,
        fields=(_field(params, "Due at most so many a second"),),
    )


def plan_cancel_group(dashboard: Dashboard, params: Params) -> Plan:
    """Cancel those open tasks of a group that wait for a retry."""
    group = find_group(dashboard.storage, name_in(params, "group"))
    what = f"cancel the waiting tasks of failures {group.group}"

    def act(who: str) -> str:
        steps = partial(cancel_group, dashboard.storage, group.group, per_second=_per_second(params))
        return _start(dashboard, what, steps(), who)

    note = (
        f"{describe_failure(group)}. All tasks that wait for a retry after this failure do not run again unless you "
        "reset them. Tasks with no attempt left have ended already and stay as they are."
    )
    return Plan(
        "Cancel the waiting tasks of this group?",
        note,
        "Cancel them",
        f"/failures/{group.group}",
        act,
        is_grave=True,
        fields=(_field(params, "Cancel at most so many a second"),),
    )


def _start(dashboard: Dashboard, what: str, steps: Iterator[GroupChange], who: str) -> str:
    counts = ((state.changed, state.left + state.refused) for state in steps)
    dashboard.bulk.start_steps(what, counts, who)
    return f"began to {what}"


def _field(params: Params, label: str) -> Field:
    return Field(PER_SECOND, label, params.get(PER_SECOND, ""), "", "all at once")


def _per_second(params: Params) -> int | None:
    """Return how many a second were asked for; None for all at once. Raises BadFieldError."""
    text = params.get(PER_SECOND, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_RATE and len(text) < 9):
        raise BadFieldError(f"give a whole number from 1 to {MAX_RATE:,}, or nothing for all at once")
    return int(text)
