"""Where boxes are and how links run."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from goque.dashboard.flow.boxes import Form
from goque.dashboard.flow.places import MAX_PORTS, Layout, spread
from tests.unit.goque.dashboard.flow.flows import chain, fan, node, placed, random_flow

FLOWS = {
    "fan": fan(200),
    "few": fan(9),
    "chain": chain(30),
    **{f"random {seed}": random_flow(seed) for seed in range(6)},
}
each_flow = pytest.mark.parametrize("name", FLOWS)
folded_too = pytest.mark.parametrize("is_folded", [False, True])


def ends_of(layout: Layout, at: int) -> tuple[float, float, float, float]:
    box = layout.boxes[at]
    return box.x, box.y, box.x + box.size.width, box.y + box.size.height


@each_flow
@folded_too
def test_boxes_do_not_overlap_and_are_inside_the_drawing(name, is_folded):
    _, _, layout = placed(FLOWS[name], is_folded=is_folded)
    ends = [ends_of(layout, at) for at in range(len(layout.boxes))]
    for (left, top, right, bottom), (left2, top2, right2, bottom2) in combinations(ends, 2):
        assert right < left2 or right2 < left or bottom < top2 or bottom2 < top
    assert min(left for left, _, _, _ in ends) > 0
    assert min(top for _, top, _, _ in ends) > 0
    assert max(right for _, _, right, _ in ends) < layout.width
    assert max(bottom for _, _, _, bottom in ends) < layout.height


@each_flow
@folded_too
def test_links_go_from_left_to_right_but_for_those_to_the_next_line(name, is_folded):
    picture, _, layout = placed(FLOWS[name], is_folded=is_folded)
    for at, (link, points) in enumerate(zip(picture.links, layout.routes, strict=True)):
        _, top, source_right, bottom = ends_of(layout, link.source)
        target_left, target_top, _, target_bottom = ends_of(layout, link.target)
        assert points[0][0] == source_right
        assert top < points[0][1] < bottom
        assert points[-1][0] == target_left
        assert target_top < points[-1][1] < target_bottom
        before = points[:-1] if at in layout.gutters else points
        assert [x for x, _ in before] == sorted(x for x, _ in before)
        if at in layout.gutters:
            assert bottom < layout.gutters[at] < target_top


@each_flow
def test_links_that_pass_a_column_run_beside_its_boxes(name):
    _, _, layout = placed(FLOWS[name])
    ends = [ends_of(layout, at) for at in range(len(layout.boxes))]
    passed = [(points[at], points[at + 1]) for points in layout.routes for at in range(2, len(points) - 1, 2)]
    for (x, y), (to_x, to_y) in passed:
        assert y == to_y
        assert not any(left < to_x and x < right and top < y < bottom for left, top, right, bottom in ends)
    assert passed or name in {"fan", "few", "chain"}


def test_a_long_link_is_straight_where_it_can_be():
    _, _, layout = placed(
        [node("a"), *(node(x, y) for x, y in ("ba", "cb", "dc", "ed")), node("end", "e", "a")]
    )
    longest = max(layout.routes, key=len)
    assert len({y for _, y in longest[2:-2]}) == 1


def test_a_chain_is_level_and_breaks_into_lines():
    picture, _, layout = placed(chain(30))
    assert layout.width < 1250
    assert 4 <= len(layout.gutters) <= 7
    heights = {box.y for box in layout.boxes}
    assert len(heights) == len(layout.gutters) + 1
    assert all(picture.links[at].target == picture.links[at].source + 1 for at in layout.gutters)


def test_a_drawing_breaks_only_where_one_link_passes():
    nodes = [*chain(30), node("last", "step-29", "step-0")]
    _, _, layout = placed(nodes)
    assert not layout.gutters
    assert layout.width > 3000


def test_a_wide_group_wraps_its_cells():
    picture, _, layout = placed(fan(200))
    (group,) = (box for box, of in zip(layout.boxes, picture.boxes, strict=True) if of.form is Form.GROUP)
    rows = -(-200 // group.size.across)
    assert group.size.body + rows * 26 <= group.size.height + 10
    assert group.size.across * 26 <= group.size.width
    assert layout.height < 600


def test_arrow_heads_are_apart_if_they_are_few_and_one_if_they_are_many():
    def arrivals(parts: int) -> list[float]:
        picture, _, layout = placed(
            [*(node(f"p{at}") for at in range(parts)), node("join", *(f"p{at}" for at in range(parts)))]
        )
        assert len(picture.boxes) == parts + 1
        return sorted(points[-1][1] for points in layout.routes)

    few = arrivals(4)
    assert all(other - one >= 4 for one, other in pairwise(few))
    assert len(set(arrivals(MAX_PORTS + 1))) == 1


@pytest.mark.parametrize(
    ("wanted", "weights", "distances", "expected"),
    [
        ([], [], [], []),
        ([5.0, 50.0], [1, 1], [10], [5.0, 50.0]),
        ([20.0, 20.0], [1, 1], [10], [15.0, 25.0]),
        ([20.0, 20.0], [3, 1], [10], [17.5, 27.5]),
        ([30.0, 20.0, 10.0], [1, 1, 1], [10, 10], [10.0, 20.0, 30.0]),
    ],
)
def test_places_are_near_to_the_wanted_ones(wanted, weights, distances, expected):
    assert spread(wanted, weights, distances) == pytest.approx(expected)
