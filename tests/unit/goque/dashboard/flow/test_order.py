"""How few links cross."""

from __future__ import annotations

import random

import pytest

from goque.dashboard.flow.boxes import one_by_one
from goque.dashboard.flow.graph import FlowNode, read_graph
from goque.dashboard.flow.order import Web, crossings, order_columns, weave
from tests.unit.goque.dashboard.flow.flows import node, random_flow


def web_of(nodes: list[FlowNode]) -> Web:
    return weave(one_by_one(read_graph(nodes)))


def test_crossings_are_counted_one_by_one():
    assert crossings(web_of([node("a"), node("b"), node("x", "b"), node("y", "a")])) == 1
    assert crossings(web_of([node("a"), node("b"), node("x", "a", "b"), node("y", "a", "b")])) == 1
    assert crossings(web_of([node("a"), node("b"), node("x", "a"), node("y", "b")])) == 0


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_lanes_are_put_side_by_side(seed):
    lanes = [
        node(f"{step}-{lane}", *([f"{step - 1}-{lane}"] if step else ["start"]))
        for step in range(4)
        for lane in range(9)
    ]
    random.Random(seed).shuffle(lanes)
    web = web_of([node("start"), *lanes, node("end", *(f"3-{lane}" for lane in range(9)))])
    before = crossings(web)
    order_columns(web)
    assert before > 20
    assert crossings(web) == 0


@pytest.mark.parametrize("seed", range(5))
def test_an_order_is_never_worse_than_that_of_the_input_and_keeps_all_items(seed):
    web = web_of(random_flow(seed))
    before, items = crossings(web), [sorted(column) for column in web.columns]
    order_columns(web)
    assert crossings(web) < before
    assert [sorted(column) for column in web.columns] == items


def test_a_link_has_a_bend_in_each_column_that_it_passes():
    web = web_of([node("a"), node("b", "a"), node("c", "b"), node("d", "c", "a")])
    assert web.routes[-1] == [0, 4, 5, 3] or web.routes[-2] == [0, 4, 5, 3]
    assert [len(column) for column in web.columns] == [1, 2, 2, 1]
