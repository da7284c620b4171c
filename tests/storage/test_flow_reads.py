"""Flows as people look at them: counts, pages of tasks, and who needs whom."""

from __future__ import annotations

import pytest
from backends import add, claim

from goque import Flow, TaskNotFoundError
from goque.identifiers import new_task_id
from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage.contract import FlowCount, FlowTask, Neighbor, TaskLinks
from goque.task_row import TaskStatus
from goque.task_rules.retry_policy import RetryPolicy


def video(storage, parts=3):
    """Insert split, some parts, join and announce; the last part may fail."""
    flow = Flow("holiday.mp4")
    split = flow.add("split", 1)
    encoded = [flow.add("encode", part, needs=[split]) for part in range(parts)]
    join = flow.add("join", 1, needs=[*encoded[:-1]])
    announce = flow.add("announce", 1, needs=[join, encoded[-1]], when="ended")
    storage.insert_flow(flow.plan())
    return flow, split, encoded, join, announce


def finish(storage, task_type, kind=OutcomeKind.DONE, limit=1):
    rows = claim(storage, task_type=task_type, limit=limit)
    changes = [settle(Outcome(kind, error="boom"), row, RetryPolicy(max_attempts=1)) for row in rows]
    assert len(storage.settle_if_held(changes)) == limit
    return rows


def test_a_flow_is_counted_by_type_and_status(storage):
    flow, split, *_ = video(storage)
    add(storage, "split")
    claim(storage, task_type="split", limit=1)
    storage.cancel_unless_finished(split.id)  # its handler is still being stopped, and nothing goes on
    seen = storage.flow_overview(flow.id)
    assert (seen.id, seen.name, seen.total) == (flow.id, "holiday.mp4", 6)
    assert seen.created_at == storage.get_flow(flow.id).created_at
    assert sorted(seen.counts, key=lambda one: one.type) == [
        FlowCount("announce", "blocked", False, 1),
        FlowCount("encode", "blocked", False, 3),
        FlowCount("join", "blocked", False, 1),
        FlowCount("split", "canceled", True, 1),
    ]
    assert seen.by_status == {"blocked": 5, "canceled": 1}
    assert seen.by_progress == storage.count_flow(flow.id) == {"blocked": 5, "processing": 1}


def test_a_flow_that_is_not_there_is_not_counted_and_has_no_tasks(storage):
    for unknown in (new_task_id(), "x", add(storage).id):
        with pytest.raises(TaskNotFoundError, match="no flow has the id"):
            storage.flow_overview(unknown)
        assert storage.flow_tasks(unknown) == []
        assert storage.flow_lines(unknown).lines == []


def test_tasks_of_a_flow_come_with_what_they_need(storage):
    flow, split, encoded, join, announce = video(storage)
    other, *_ = video(storage)
    finish(storage, "split")
    assert storage.flow_tasks(flow.id) == [
        FlowTask(split.id, "split", "done", ()),
        *(FlowTask(part.id, "encode", "new", (split.id,)) for part in encoded),
        FlowTask(join.id, "join", "blocked", (encoded[0].id, encoded[1].id)),
        FlowTask(announce.id, "announce", "blocked", (join.id, encoded[2].id)),
    ]
    assert len(storage.flow_tasks(other.id, most_tasks=6, most_needs=7)) == 6
    assert storage.flow_tasks(flow.id, most_tasks=5) is None
    assert storage.flow_tasks(flow.id, most_needs=6) is None


def test_tasks_of_a_flow_are_paged_in_its_order_all_or_those_of_some_statuses(storage):
    flow, *_ = video(storage, parts=5)
    finish(storage, "split")
    rows = finish(storage, "encode", OutcomeKind.FAILED, limit=2)
    tasks = flow.tasks

    def pages(limit, *statuses):
        found, after = [], -1
        while after is not None:
            page = storage.flow_lines(flow.id, statuses=statuses, after=after, limit=limit)
            found.append([line.id for line in page.lines])
            after = page.after
        return found

    assert pages(3) == [[task.id for task in tasks[start : start + 3]] for start in (0, 3, 6)]
    assert pages(8) == [[task.id for task in tasks]]
    failed = sorted(row.id for row in rows)
    assert pages(1, TaskStatus.ATTEMPTS_LEFT) == [[task_id] for task_id in failed]
    assert pages(9, TaskStatus.ATTEMPTS_LEFT, TaskStatus.DONE) == [[tasks[0].id, *failed]]
    assert pages(9, TaskStatus.PENDING) == [[]]


def test_a_task_is_linked_with_its_flow_and_what_is_around_it(storage):
    flow, split, encoded, join, announce = video(storage)
    finish(storage, "split")
    assert storage.links_of(encoded[0].id) == TaskLinks(
        flow.id,
        "holiday.mp4",
        [Neighbor(split.id, "split", "done", "done", "met")],
        {"met": 1},
        [Neighbor(join.id, "join", "blocked", "done", "open")],
        1,
    )
    alone = add(storage)
    assert storage.flows_of([split.id, alone.id, join.id]) == {split.id: flow.id, join.id: flow.id}
    around = storage.links_of(split.id, most=2)
    assert [one.id for one in around.dependents] == [part.id for part in encoded[:2]]
    assert (around.dependent_count, around.needs, around.need_counts) == (3, [], {})
    assert storage.links_of(announce.id).needs[0].wants == "ended"


def test_failed_needs_come_first_then_open_ones_and_deleted_ones_have_no_type(storage, backend):
    need = add(storage, "outside")
    flow = Flow("shop")
    tasks = [flow.add(name, 1) for name in ("met", "open", "fails")]
    last = flow.add("last", 1, needs=[*tasks, need.id])
    storage.insert_flow(flow.plan())
    finish(storage, "met")
    finish(storage, "fails", OutcomeKind.FAILED)
    seen = storage.links_of(last.id)
    assert [(one.type, one.state) for one in seen.needs] == [
        ("fails", "failed"),
        ("open", "open"),
        ("outside", "open"),
        ("met", "met"),
    ]
    assert seen.need_counts == {"met": 1, "open": 2, "failed": 1}
    assert [one.type for one in storage.links_of(last.id, most=1).needs] == ["fails"]
    outside = storage.links_of(need.id)
    assert (outside.flow_id, [one.id for one in outside.dependents]) == (None, [last.id])
    backend.execute("DELETE FROM goque_task WHERE type = 'outside'")
    assert Neighbor(need.id, "", "", "done", "open") in storage.links_of(last.id).needs


def test_a_task_alone_has_no_links(storage):
    assert storage.links_of(add(storage).id) == TaskLinks(needs=[], dependents=[])
    assert storage.links_of("x") == TaskLinks(needs=[], dependents=[])
