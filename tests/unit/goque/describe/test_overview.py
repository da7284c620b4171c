"""What waits and who works on it, put together from the queue and from what each node tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from goque.describe.functions import FunctionLine
from goque.describe.node_info import FunctionInfo, NodeInfo, Runs, TypeInfo, decode_info, encode_info
from goque.describe.overview import TypeLine, overview
from goque.storage.contract import NodeRow, QueueDepth
from goque.storage.search_types import FunctionCount

NOW = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)


def node(name: str, *types: TypeInfo, state: str = "alive", silent: float = 2.0) -> NodeRow:
    info = encode_info(NodeInfo(recent_seconds=60.0, types=types))
    return NodeRow(name, 7, state, "web-1", 42, NOW, NOW - timedelta(seconds=silent), info)


def test_a_type_is_summed_over_its_nodes() -> None:
    part = TypeInfo("mail", slots=4, living=3, recent={"done": 57, "error": 3}, recent_run_seconds=6.0)
    depths = [QueueDepth("mail", "new", 7, 12.5), QueueDepth("mail", "error", 1, 12.5)]
    depths += [QueueDepth("mail", "pending", 2), QueueDepth("mail", "processing", 3)]
    found = overview(depths, ["mail"], frozenset({"mail"}), [node("a", part), node("b", part)], NOW)
    assert list(found.types) == [
        TypeLine(
            "mail",
            new=7,
            error=1,
            claimed=5,
            waited=12.5,
            paused=True,
            workers=6,
            slots=8,
            runs_a_second=2.0,
            failed=6,
            took=0.1,
        )
    ]
    assert [line.silent for line in found.nodes] == [2.0, 2.0]


def test_types_are_there_with_a_task_or_a_policy_or_a_worker_only() -> None:
    found = overview([QueueDepth("a", "new", 1)], ["b"], frozenset(), [node("n", TypeInfo("c"))], NOW)
    assert [line.type for line in found.types] == ["a", "b", "c"]
    assert [line.took for line in found.types] == [None, None, None]


def test_workers_of_a_dead_node_do_not_count_and_one_that_tells_nothing_is_listed() -> None:
    silent = NodeRow("old", 1, "alive", "web-2", 43, NOW, NOW)
    found = overview(
        [], [], frozenset(), [node("dead", TypeInfo("mail", living=4), state="dead"), silent], NOW
    )
    assert found.types == []
    assert [(line.row.id, line.info is None) for line in found.nodes] == [("dead", False), ("old", True)]


def test_a_clock_that_is_behind_makes_no_negative_silence() -> None:
    found = overview([], [], frozenset(), [node("a", silent=-5.0)], NOW)
    assert found.nodes[0].silent == 0.0


def test_functions_are_summed_over_nodes_with_what_waits_of_them() -> None:
    add = FunctionInfo("shop.tasks.add", recent={"done": 57, "error": 3}, recent_run_seconds=6.0)
    part = TypeInfo("django.default", functions=(add, FunctionInfo("other", processed={"done": 1})))
    unfinished = [
        FunctionCount("", "new", 1),
        FunctionCount("shop.tasks.add", "pending", 1),
        FunctionCount("shop.tasks.add", "processing", 2),
        FunctionCount("shop.tasks.send", "error", 4),
    ]
    rows = [node("a", part), node("b", part), node("dead", part, state="dead")]
    found = overview([], [], frozenset(), rows, NOW, unfinished={"django.default": unfinished})
    (kind,) = found.types
    assert list(kind.functions) == [
        FunctionLine("", 1, 0, 0, Runs()),
        FunctionLine("other", 0, 0, 0, Runs()),
        FunctionLine("shop.tasks.add", 0, 0, 3, Runs(2.0, 6, 0.1)),
        FunctionLine("shop.tasks.send", 0, 4, 0, Runs()),
    ]
    too_many = overview([], [], frozenset(), rows, NOW, unfinished={"django.default": None})
    assert [(one.new, one.runs.failed) for one in too_many.types[0].functions] == [(None, 0), (None, 6)]


def test_a_report_with_too_many_functions_leaves_them_out_before_the_types() -> None:
    functions = tuple(FunctionInfo("x" * 218, {"done": 1}, {"done": 1}, 1.0) for _ in range(50))
    types = tuple(TypeInfo(f"type-{number}", slots=1, functions=functions) for number in range(10))
    decoded = decode_info(encode_info(NodeInfo(types=types)))
    assert decoded is not None
    assert [(kind.slots, kind.functions) for kind in decoded.types] == [(1, ())] * 10
