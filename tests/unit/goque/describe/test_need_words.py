"""What a blocked task waits for, and what canceled it, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from goque.describe.need_words import describe_flags, describe_need_counts, has_links
from goque.describe.task_state import describe_next
from goque.storage.contract import Neighbor, TaskLinks, TypePolicy
from goque.task_row import TaskRow

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = TypePolicy("join", 5, None, None, 3600.0, 7 * 86400.0, 60.0)

SPLIT = Neighbor("id-1", "split", "processing", "done", "open")
FAILED = Neighbor("id-2", "split", "attempts_left", "done", "failed")
DELETED = Neighbor("id-3", "", "", "done", "open")


def row(status: str, flags: int | None) -> TaskRow:
    return TaskRow("an-id", "join", "x", b"{}", status, 0, None, None, NOW, NOW, NOW, flags=flags)


def links(*needs: Neighbor, **counts: int) -> TaskLinks:
    return TaskLinks("a-flow", "orders", needs, counts)  # type: ignore[arg-type]  # the names of states


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (links(SPLIT, open=1), "it waits for the end of split id-1"),
        (
            links(SPLIT, open=1, met=1),
            "it waits for the end of split id-1; the other task that it needs has ended",
        ),
        (
            links(SPLIT, open=1, met=2_000),
            "it waits for the end of split id-1; its 2,000 other needs have ended",
        ),
        (
            links(SPLIT, open=3, met=37),
            "it waits for the end of 3 of the 40 tasks that it needs; the first of them is split id-1",
        ),
        (
            links(SPLIT, open=40),
            "it waits for the end of all 40 tasks that it needs; the first of them is split id-1",
        ),
        (links(DELETED, open=1), "it waits for the end of task id-3, which is deleted"),
        (links(met=2), "the tasks that it needs have ended; a healer unblocks it"),
    ],
)
def test_a_blocked_task_says_what_it_waits_for(seen: TaskLinks, text: str) -> None:
    assert describe_next(row("blocked", flags=5), POLICY, None, NOW, links=seen) == text


@pytest.mark.parametrize(
    ("flags", "status", "text"),
    [
        (13, "canceled", "canceled, because split id-2 has not ended well; `goque reset id-2` lets both run"),
        (5, "canceled", "finished"),
        (13, "done", "finished"),
    ],
)
def test_a_task_names_the_need_that_canceled_it(flags: int, status: str, text: str) -> None:
    told = describe_next(row(status, flags=flags), POLICY, None, NOW, links=links(FAILED, failed=1))
    assert told == f"{text}; will be deleted with its flow"


def test_a_need_that_was_deleted_cannot_be_reset() -> None:
    gone = Neighbor("id-3", "", "", "done", "failed")
    told = describe_next(row("canceled", flags=9), None, None, NOW, links=links(gone, failed=1))
    assert told == "canceled, because task id-3 was deleted"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (None, ""),
        (0, "0"),
        (5, "5 (needs others, in a flow)"),
        (15, "15 (needs others, is needed, in a flow, canceled by a need)"),
    ],
)
def test_flags_are_told_in_words(flags: int | None, text: str) -> None:
    assert describe_flags(flags) == text


def test_needs_are_counted_by_what_became_of_them() -> None:
    assert describe_need_counts(links(met=1_000, open=2, failed=1)) == "1 failed, 2 open, 1,000 met"
    assert describe_need_counts(links()) == ""


@pytest.mark.parametrize(("flags", "linked"), [(None, False), (0, False), (1, True), (2, True), (4, True)])
def test_only_tasks_with_a_flag_have_links(flags: int | None, linked: bool) -> None:
    assert has_links(row("new", flags=flags)) is linked
