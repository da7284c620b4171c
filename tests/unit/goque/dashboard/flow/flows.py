"""Flows that several tests draw."""

from __future__ import annotations

import random
from collections.abc import Sequence

from goque.dashboard.flow.boxes import Picture, folded, one_by_one
from goque.dashboard.flow.graph import FlowNode, read_graph
from goque.dashboard.flow.order import Web, order_columns, weave
from goque.dashboard.flow.places import Layout, lay_out


def node(
    name: str, *needs: str, kind: str = "", status: str = "new", href: str = "", note: str = ""
) -> FlowNode:
    return FlowNode(name, kind or f"type_{name}", status, needs, href, note)


def fan(parts: int) -> list[FlowNode]:
    names = [f"part-{at}" for at in range(parts)]
    return [
        node("split"),
        *(node(name, "split", kind="part") for name in names),
        node("join", *names),
    ]


def chain(length: int) -> list[FlowNode]:
    return [node(f"step-{at}", *([f"step-{at - 1}"] if at else [])) for at in range(length)]


def random_flow(seed: int, size: int = 60) -> list[FlowNode]:
    chance = random.Random(seed)
    made = [
        node(
            f"n{at}",
            *{f"n{chance.randrange(at)}" for _ in range(chance.randrange(4))} if at else (),
            kind="type" * chance.randrange(1, 12),
            status=chance.choice(["new", "done", "blocked", "canceled", "attempts_left"]),
        )
        for at in range(size)
    ]
    chance.shuffle(made)
    return made


def placed(nodes: Sequence[FlowNode], *, is_folded: bool = False) -> tuple[Picture, Web, Layout]:
    graph = read_graph(nodes)
    picture = folded(graph) if is_folded else one_by_one(graph)
    web = weave(picture)
    order_columns(web)
    return picture, web, lay_out(picture, web)
