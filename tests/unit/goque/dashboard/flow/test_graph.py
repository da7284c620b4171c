"""How a flow becomes a graph: layers, circles, and where a failure went."""

from __future__ import annotations

import pytest

from goque.dashboard.flow.graph import FlowNode, read_graph
from tests.unit.goque.dashboard.flow.flows import chain, node, random_flow


def layers_of(nodes: list[FlowNode]) -> dict[str, int]:
    graph = read_graph(nodes)
    return {one.id: layer for one, layer in zip(graph.nodes, graph.layers, strict=True)}


def test_a_layer_is_the_longest_path_from_a_task_without_needs():
    nodes = [node("d", "a", "c"), node("c", "b"), node("b", "a"), node("a"), node("e", "a"), node("lone")]
    assert layers_of(nodes) == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 1, "lone": 0}


def test_a_chain_that_is_longer_than_pythons_stack_has_its_layers():
    assert layers_of(chain(5000)[::-1])["step-4999"] == 4999


@pytest.mark.parametrize("seed", range(5))
def test_each_need_is_in_a_lower_layer(seed):
    graph = read_graph(random_flow(seed))
    pairs = [(need, at) for at, needs in enumerate(graph.needs) for need in needs]
    assert pairs
    assert all(graph.layers[need] < graph.layers[at] for need, at in pairs)
    assert graph.circular == 0


def test_a_task_does_not_need_itself_and_circles_are_cut_once():
    graph = read_graph([node("a", "a", "c"), node("b", "a"), node("c", "b"), node("d", "c")])
    assert graph.circular == 2
    assert list(graph.layers) == [0, 1, 2, 3]
    assert [list(needs) for needs in graph.needs] == [[], [0], [1], [2]]


def test_two_circles_and_what_needs_both_are_all_placed():
    nodes = [node("a", "b"), node("b", "a"), node("x", "y"), node("y", "x"), node("end", "b", "y")]
    graph = read_graph(nodes)
    assert graph.circular == 2
    assert list(graph.layers) == [0, 1, 0, 1, 2]


def test_needs_outside_are_counted_and_needs_that_are_told_twice_are_one():
    graph = read_graph([node("a"), node("b", "a", "a", "gone", "gone", "lost")])
    assert list(graph.outside) == [0, 2]
    assert [list(needs) for needs in graph.needs] == [[], [0]]


def test_the_first_of_two_tasks_with_one_id_counts():
    graph = read_graph([node("a", kind="first"), node("a", kind="second")])
    assert [one.type for one in graph.nodes] == ["first"]


def test_the_failed_path_goes_from_a_failed_task_along_canceled_ones():
    graph = read_graph(
        [
            node("bad", status="attempts_left"),
            node("fine", status="done"),
            node("hit", "bad", "fine", status="canceled"),
            node("hit_too", "hit", status="canceled"),
            node("anyway", "bad", status="done"),
            node("by_hand", "fine", status="canceled"),
        ]
    )
    assert [graph.is_on_failed_path(at) for at in range(6)] == [True, False, True, True, False, False]
    assert graph.passed_failure(0, 2)
    assert not graph.passed_failure(1, 2)
    assert not graph.passed_failure(0, 4)
