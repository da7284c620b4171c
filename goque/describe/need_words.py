"""Says in words which tasks another one waits for, and which one canceled it. No I/O happens here."""

from __future__ import annotations

from collections.abc import Sequence

from goque.storage.contract import Neighbor, TaskLinks
from goque.task_row import (
    CANCELED_BY_NEED,
    HAS_NEEDS,
    HAS_STEPS,
    IN_FLOW,
    IS_NEEDED,
    IS_WAITED_FOR,
    TaskRow,
    TaskStatus,
)


def has_links(row: TaskRow) -> bool:
    """Return whether a task is in a flow, needs others or is needed."""
    return bool((row.flags or 0) & (IN_FLOW | HAS_NEEDS | IS_NEEDED))


def describe_block(links: TaskLinks | None) -> str:
    """Say what a blocked task waits for.

    Args:
        links: what it needs, None if that is not known.
    """
    if links is None:
        return "it waits for the end of tasks that it needs"
    total, number = sum(links.need_counts.values()), links.need_counts.get("open", 0)
    still_open = [need for need in links.needs if need.state == "open"]
    if not still_open:
        return "the tasks that it needs have ended; a healer unblocks it"
    named = named_task(still_open[0])
    if number > 1:
        which = f"all {number:,} tasks" if number == total else f"{number:,} of the {total:,} tasks"
        return f"it waits for the end of {which} that it needs; the first of them is {named}"
    others = f"; {_others(total - 1)}" if total > 1 else ""
    return f"it waits for the end of {named}{others}"


def describe_bad_need(row: TaskRow, links: TaskLinks | None) -> str:
    """Say which need canceled a task, and what makes both run; empty if no need did."""
    failed = [need for need in links.needs if need.state == "failed"] if links is not None else []
    if row.status != TaskStatus.CANCELED or not (row.flags or 0) & CANCELED_BY_NEED or not failed:
        return ""
    first = failed[0]
    if not first.status:
        return f"canceled, because task {first.id} was deleted"
    return f"canceled, because {named_task(first)} has not ended well; `goque reset {first.id}` lets both run"


def describe_flags(flags: int | None) -> str:
    """Return the flags of a task with what they mean: `5 (needs others, in a flow)`; empty for none."""
    words = {
        HAS_NEEDS: "needs others",
        IS_NEEDED: "is needed",
        IN_FLOW: "in a flow",
        CANCELED_BY_NEED: "canceled by a need",
        HAS_STEPS: "has steps",
        IS_WAITED_FOR: "is waited for",
    }
    told = ", ".join(word for flag, word in words.items() if (flags or 0) & flag)
    return "" if flags is None else f"{flags} ({told})" if told else str(flags)


def describe_need_counts(links: TaskLinks) -> str:
    """Return how many needs are in each state: `1 failed, 2 open, 37 met`; empty for none."""
    return ", ".join(
        f"{links.need_counts[state]:,} {state}"
        for state in ("failed", "open", "met")
        if state in links.need_counts
    )


def more_than(shown: Sequence[Neighbor], total: int) -> int:
    """Return how many tasks are left out of a list."""
    return max(0, total - len(shown))


def named_task(task: Neighbor) -> str:
    """Return the type and the id of a task."""
    return f"{task.type} {task.id}" if task.status else f"task {task.id}, which is deleted"


def _others(number: int) -> str:
    return (
        "the other task that it needs has ended" if number == 1 else f"its {number:,} other needs have ended"
    )
