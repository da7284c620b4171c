"""Draw a flow, a graph of tasks that need each other, as SVG for the dashboard. No I/O happens here.

1. Read the graph: resolve needs, and find how deep each task is.
2. Make boxes: one for each task, or one for the tasks of a type at a depth if the flow is large.
3. Weave: give a bend to each link in each column that it passes.
4. Order the columns so that few links cross.
5. Lay out: give each box its place and each link its points.
6. Write SVG, whose colours and motion are in `static/flow.css`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from markupsafe import Markup

from goque.dashboard.flow.boxes import Picture, folded, one_by_one
from goque.dashboard.flow.graph import FlowNode, Graph, read_graph
from goque.dashboard.flow.meshes import join_meshes
from goque.dashboard.flow.order import order_columns, weave
from goque.dashboard.flow.places import lay_out
from goque.dashboard.flow.svg import words_of_counts, write_svg

__all__ = ["MAX_NODES", "FlowDrawing", "FlowNode", "draw_flow"]

MAX_NODES: Final = 300
"""The largest flow whose tasks are drawn one by one."""

MAX_LINKS: Final = 1500
"""A flow with more links than this is folded too, because nobody could follow them."""


class FlowDrawing(msgspec.Struct, frozen=True):
    """A drawing: `svg` is safe to put into a page, the size is in CSS pixels, `summary` says in words what it shows."""

    svg: Markup
    width: int
    height: int
    folded: bool
    summary: str


def draw_flow(nodes: Sequence[FlowNode]) -> FlowDrawing:
    """Draw a flow from left to right; needs that are no tasks of the flow become short stubs."""
    graph = read_graph(nodes)
    picture = join_meshes(one_by_one(graph)) if len(graph.nodes) <= MAX_NODES else None
    is_folded = picture is None or len(picture.links) > MAX_LINKS
    if picture is None or is_folded:
        picture = folded(graph)
    web = weave(picture)
    order_columns(web)
    layout = lay_out(picture, web)
    title = "Flow of 1 task" if len(graph.nodes) == 1 else f"Flow of {len(graph.nodes):,} tasks"
    summary = _summarize(graph, picture, is_folded=is_folded)
    return FlowDrawing(
        Markup(write_svg(picture, layout, title, summary)),  # noqa: S704  # svg.py escapes each text
        layout.width,
        layout.height,
        is_folded,
        summary,
    )


def _summarize(graph: Graph, picture: Picture, *, is_folded: bool) -> str:
    counts = words_of_counts(Counter(node.status for node in graph.nodes))
    sentences = [counts or "No tasks"]
    if is_folded:
        is_deep = any(first != last for first, last in (box.depths for box in picture.boxes))
        where = "in a range of depths" if is_deep else "at one depth"
        sentences.append(f"Each box stands for the tasks of one type {where}")
    if outside := sum(graph.outside):
        sentences.append(f"{_needs_are(outside)} outside of this flow")
    if picture.hidden:
        sentences.append(f"{picture.hidden:,} smaller links between boxes are not drawn")
    if graph.circular:
        sentences.append(f"{_needs_are(graph.circular)} not drawn, to cut circles")
    return ". ".join(sentences) + "."


def _needs_are(count: int) -> str:
    return f"{count:,} {'need is' if count == 1 else 'needs are'}"
