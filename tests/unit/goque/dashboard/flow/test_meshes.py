"""When links go through a junction, and what those say."""

from __future__ import annotations

from goque.dashboard.flow.boxes import Form, Picture, one_by_one
from goque.dashboard.flow.graph import FlowNode, read_graph
from goque.dashboard.flow.meshes import find_meshes, join_meshes
from goque.dashboard.flow.order import order_columns, weave
from goque.dashboard.flow.places import lay_out
from tests.unit.goque.dashboard.flow.flows import node


def picture_of(nodes: list[FlowNode]) -> Picture:
    return one_by_one(read_graph(nodes))


def stages(first: int, second: int) -> list[FlowNode]:
    names = [f"a{at}" for at in range(first)]
    return [*map(node, names), *(node(f"b{at}", *names) for at in range(second))]


def test_a_mesh_needs_three_boxes_on_each_side():
    assert not find_meshes(picture_of(stages(2, 5)))
    assert not find_meshes(picture_of(stages(5, 2)))
    assert find_meshes(picture_of(stages(3, 4))) == [((0, 1, 2), [3, 4, 5, 6])]


def test_a_drawing_without_a_mesh_stays_as_it_is():
    picture = picture_of(stages(2, 2))
    assert join_meshes(picture) is picture


def test_all_links_of_a_mesh_go_through_one_junction_in_a_column_of_its_own():
    picture = join_meshes(picture_of([*stages(4, 5), node("c", "b0", "a0")]))
    assert [box.form for box in picture.boxes].index(Form.JUNCTION) == 10
    assert [box.column for box in picture.boxes] == [0] * 4 + [2] * 5 + [3] + [1]
    assert picture.columns == 4
    pairs = {(link.source, link.target) for link in picture.links}
    assert pairs == {(at, 10) for at in range(4)} | {(10, at) for at in range(4, 9)} | {(4, 9), (0, 9)}


def test_a_box_with_one_need_more_keeps_its_own_links():
    picture = join_meshes(picture_of([*stages(3, 3), node("other"), node("b3", "a0", "a1", "a2", "other")]))
    own = [(link.source, link.target) for link in picture.links if link.target == 7]
    assert own == [(0, 7), (1, 7), (2, 7), (6, 7)]


def test_a_failure_colours_its_way_through_the_junction():
    nodes = stages(3, 3)
    nodes[1] = node("a1", status="attempts_left")
    nodes[3] = node("b0", *nodes[3].needs, status="canceled")
    picture = join_meshes(picture_of(nodes))
    assert {(link.source, link.target, link.title) for link in picture.links if link.failed} == {
        (1, 6, "3 tasks need type_a1"),
        (6, 3, "type_b0 needs 3 tasks"),
    }


def test_links_meet_in_the_middle_of_a_junction():
    picture = join_meshes(picture_of(stages(4, 4)))
    web = weave(picture)
    order_columns(web)
    layout = lay_out(picture, web)
    junction = layout.boxes[8]
    ends = {points[-1] for link, points in zip(picture.links, layout.routes, strict=True) if link.target == 8}
    assert ends == {(junction.x, junction.y + junction.size.height / 2)}
