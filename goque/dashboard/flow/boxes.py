"""What a drawing shows: boxes of a task, of many alike tasks, or of a type at a depth, and the links between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from goque.dashboard.flow.graph import FlowNode, Graph

MIN_GROUP: Final = 13
"""From this many on, tasks with the same type, needs and dependents are cells of one box."""

MAX_COLUMNS: Final = 40
MAX_TYPES: Final = 12
MAX_FOLDED_LINKS: Final = 600


class Form(Enum):
    """How a box looks."""

    TASK = "task"
    GROUP = "group"
    FOLDED = "folded"
    JUNCTION = "junction"


@dataclass(frozen=True)
class Box:
    """One box; `counts` are its tasks by raw status, `failed` are the tasks on the failed path.

    `members` are empty in a folded box. `depths` are the first and the last layer of its tasks.
    """

    form: Form
    column: int
    label: str
    counts: Counter[str]
    failed: int
    outside: int
    depths: tuple[int, int]
    members: list[tuple[FlowNode, bool]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many tasks the box stands for."""
        return self.counts.total()


@dataclass(frozen=True)
class Link:
    """The needs between two boxes, by their positions: how many, and along how many a failure went.

    `title` is its tooltip if its boxes do not say enough.
    """

    source: int
    target: int
    count: int
    failed: int
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """The boxes and links of a drawing. `hidden` links are left out because there are too many."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    columns: int
    hidden: int = 0


def one_by_one(graph: Graph) -> Picture:
    """Make a box for each task; many alike tasks share one in which each has its cell."""
    dependents: list[list[int]] = [[] for _ in graph.nodes]
    for at, needs in enumerate(graph.needs):
        for need in needs:
            dependents[need].append(at)
    alike: dict[object, list[int]] = {}
    for at, node in enumerate(graph.nodes):
        key = (node.type, graph.outside[at], tuple(sorted(graph.needs[at])), tuple(dependents[at]))
        alike.setdefault(key, []).append(at)
    boxes: list[Box] = []
    box_of = [0] * len(graph.nodes)
    for places in alike.values():
        parts = [places] if len(places) >= MIN_GROUP else [[at] for at in places]
        for part in parts:
            for at in part:
                box_of[at] = len(boxes)
            boxes.append(_box_of_tasks(graph, part))
    return Picture(boxes, links_between(graph, boxes, box_of), _columns(boxes))


def _box_of_tasks(graph: Graph, places: list[int]) -> Box:
    members = [(graph.nodes[at], graph.is_on_failed_path(at)) for at in places]
    layer = graph.layers[places[0]]
    return Box(
        form=Form.TASK if len(members) == 1 else Form.GROUP,
        column=layer,
        label=members[0][0].type,
        counts=Counter(node.status for node, _ in members),
        failed=sum(is_failed for _, is_failed in members),
        outside=graph.outside[places[0]],
        depths=(layer, layer),
        members=members,
    )


def folded(graph: Graph) -> Picture:
    """Make a box for the tasks of one type at one depth.

    A flow that is very deep has several depths in a column, and rare types of a column share a box.
    """
    deep = max(graph.layers, default=0) + 1
    columns = [layer if deep <= MAX_COLUMNS else layer * MAX_COLUMNS // deep for layer in graph.layers]
    labels = _labels(Counter(zip(columns, (node.type for node in graph.nodes), strict=True)))
    places: dict[tuple[int, str, bool], int] = {}
    box_of: list[int] = []
    for column, node in zip(columns, graph.nodes, strict=True):
        box_of.append(places.setdefault((column, *labels[column, node.type]), len(places)))
    counts: list[Counter[str]] = [Counter() for _ in places]
    failed, outside = [0] * len(places), [0] * len(places)
    depths = [(deep, 0)] * len(places)
    for at, box in enumerate(box_of):
        counts[box][graph.nodes[at].status] += 1
        failed[box] += graph.is_on_failed_path(at)
        outside[box] += graph.outside[at]
        layer, (low, high) = graph.layers[at], depths[box]
        depths[box] = (min(low, layer), max(high, layer))
    boxes = [
        Box(Form.FOLDED, column, label, counts[box], failed[box], outside[box], depths[box])
        for (column, label, _), box in places.items()
    ]
    links = links_between(graph, boxes, box_of)
    picture = Picture(boxes, links, _columns(boxes))
    if len(links) <= MAX_FOLDED_LINKS:
        return picture
    return replace(picture, links=_important(links, boxes), hidden=len(links) - MAX_FOLDED_LINKS)


def _important(links: Sequence[Link], boxes: Sequence[Box]) -> list[Link]:
    """Return for each box the link to it that weighs most, then others by their weight; those with failures go first.

    A long link weighs less, because it takes room in each column that it passes.
    """

    def weight(link: Link) -> tuple[bool, float]:
        return link.failed > 0, link.count / (boxes[link.target].column - boxes[link.source].column) ** 2

    ranked = sorted(links, key=weight, reverse=True)
    first: dict[int, Link] = {}
    for link in ranked:
        first.setdefault(link.target, link)
    others = [link for link in ranked if first[link.target] is not link]
    return [*first.values(), *others][:MAX_FOLDED_LINKS]


def _labels(sizes: Counter[tuple[int, str]]) -> dict[tuple[int, str], tuple[str, bool]]:
    """Return for each column and type the label of its box, and whether the box is of several rare types."""
    by_column: dict[int, list[str]] = {}
    for column, kind in sizes:
        by_column.setdefault(column, []).append(kind)
    labels: dict[tuple[int, str], tuple[str, bool]] = {}
    for column, types in by_column.items():
        if len(types) > MAX_TYPES:
            types.sort(key=lambda kind: sizes[column, kind], reverse=True)
            rare = types[MAX_TYPES - 1 :]
            labels |= dict.fromkeys(((column, kind) for kind in rare), (f"{len(rare):,} other types", True))
            del types[MAX_TYPES - 1 :]
        labels |= {(column, kind): (kind, False) for kind in types}
    return labels


def links_between(graph: Graph, boxes: Sequence[Box], box_of: Sequence[int]) -> list[Link]:
    """Count the needs between boxes of different columns."""
    counts: dict[tuple[int, int], int] = {}
    failed: dict[tuple[int, int], int] = {}
    for at, needs in enumerate(graph.needs):
        target = box_of[at]
        for need in needs:
            pair = (box_of[need], target)
            counts[pair] = counts.get(pair, 0) + 1
            if graph.passed_failure(need, at):
                failed[pair] = failed.get(pair, 0) + 1
    return [
        Link(*pair, count, failed.get(pair, 0))
        for pair, count in counts.items()
        if boxes[pair[0]].column < boxes[pair[1]].column
    ]


def _columns(boxes: Iterable[Box]) -> int:
    return max((box.column for box in boxes), default=-1) + 1
