"""Which boxes and links a drawing has."""

from __future__ import annotations

from goque.dashboard.flow.boxes import (
    MAX_COLUMNS,
    MAX_FOLDED_LINKS,
    MAX_TYPES,
    MIN_GROUP,
    Form,
    folded,
    one_by_one,
)
from goque.dashboard.flow.graph import read_graph
from tests.unit.goque.dashboard.flow.flows import chain, fan, node


def test_a_few_alike_tasks_have_a_box_each_and_many_share_one():
    few = one_by_one(read_graph(fan(MIN_GROUP - 1)))
    assert {box.form for box in few.boxes} == {Form.TASK}
    assert len(few.boxes) == MIN_GROUP + 1
    many = one_by_one(read_graph(fan(MIN_GROUP)))
    assert [box.form for box in many.boxes] == [Form.TASK, Form.GROUP, Form.TASK]
    assert [one.id for one, _ in many.boxes[1].members] == [f"part-{at}" for at in range(MIN_GROUP)]
    assert [(link.source, link.target, link.count) for link in many.links] == [
        (0, 1, MIN_GROUP),
        (1, 2, MIN_GROUP),
    ]


def test_tasks_with_other_dependents_or_needs_outside_are_not_alike():
    nodes = fan(20)
    nodes += [node(f"outer-{at}", "split", "outside", kind="part") for at in range(15)]
    nodes += [node(f"last-{at}", "split", kind="part") for at in range(13)]
    groups = [box.total for box in one_by_one(read_graph(nodes)).boxes]
    assert sorted(groups) == [1, 1, 13, 15, 20]


def test_folding_counts_tasks_by_type_depth_and_status():
    nodes = [node("root", kind="scan", status="done")]
    nodes += [node(f"a{at}", "root", kind="get", status="done" if at < 7 else "new") for at in range(10)]
    nodes += [
        node(f"b{at}", f"a{at}", kind="get", status="attempts_left" if at == 3 else "blocked")
        for at in range(10)
    ]
    nodes += [node("end", *(f"b{at}" for at in range(10)), kind="sum", status="canceled")]
    picture = folded(read_graph(nodes))
    assert [(box.label, box.column, dict(box.counts), box.failed) for box in picture.boxes] == [
        ("scan", 0, {"done": 1}, 0),
        ("get", 1, {"done": 7, "new": 3}, 0),
        ("get", 2, {"attempts_left": 1, "blocked": 9}, 1),
        ("sum", 3, {"canceled": 1}, 1),
    ]
    assert [(link.source, link.target, link.count, link.failed) for link in picture.links] == [
        (0, 1, 10, 0),
        (1, 2, 10, 0),
        (2, 3, 10, 1),
    ]


def test_a_very_deep_flow_has_several_depths_in_a_column():
    picture = folded(read_graph([one for at, one in enumerate(chain(1000)) if at < 1000]))
    assert picture.columns == MAX_COLUMNS
    assert sum(box.total for box in picture.boxes) == 1000
    firsts = sorted(box.depths[0] for box in picture.boxes)
    assert firsts[0] == 0
    assert max(box.depths[1] for box in picture.boxes) == 999
    assert all(box.depths[0] * MAX_COLUMNS // 1000 == box.column for box in picture.boxes)


def test_rare_types_of_a_column_share_a_box_and_a_type_with_such_a_name_does_not_join_them():
    nodes = [node(f"{kind}-{at}", kind=f"kind-{kind}") for kind in range(20) for at in range(30 - kind)]
    nodes += [node(f"same-{at}", kind="10 other types") for at in range(100)]
    boxes = folded(read_graph(nodes)).boxes
    assert len(boxes) == MAX_TYPES
    assert sorted(box.total for box in boxes if box.label.endswith("other types")) == [
        100,
        sum(30 - kind for kind in range(10, 20)),
    ]
    assert sum(box.total for box in boxes) == len(nodes)


def test_of_too_many_links_those_with_failures_and_the_short_ones_are_drawn_and_each_box_keeps_one():
    nodes = [
        node(
            f"{layer}-{at}",
            *(f"{low}-{other}" for low in range(layer) for other in range(8)),
            kind=f"kind-{at}",
        )
        for layer in range(8)
        for at in range(8)
    ]
    nodes[0] = node("0-0", kind="kind-0", status="attempts_left")
    nodes[-1] = node("7-7", *nodes[-1].needs, kind="kind-7", status="canceled")
    picture = folded(read_graph(nodes))
    assert len(picture.links) == MAX_FOLDED_LINKS
    assert picture.hidden == 28 * 64 - MAX_FOLDED_LINKS
    assert [(link.source, link.target) for link in picture.links if link.failed] == [(0, 63)]
    assert {link.target for link in picture.links} == set(range(8, 64))
    spans = [picture.boxes[link.target].column - picture.boxes[link.source].column for link in picture.links]
    assert spans.count(1) == 7 * 64
    assert max(span for span in spans if span < 7) == 2
