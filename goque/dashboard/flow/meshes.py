"""Lead links through a junction where several boxes all need the same boxes: 6 + 6 links instead of 6 times 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final, NamedTuple

from goque.dashboard.flow.boxes import Box, Form, Link, Picture
from goque.dashboard.flow.texts import one_line

MIN_SIDE: Final = 3
"""A mesh has at least so many boxes on each of its sides."""


class Mesh(NamedTuple):
    """Boxes that all need the same boxes, by their positions."""

    sources: tuple[int, ...]
    targets: list[int]


def find_meshes(picture: Picture) -> list[Mesh]:
    """Return where each of several boxes in a column needs each of several others, and nothing else."""
    sources: dict[int, list[int]] = {}
    for link in picture.links:
        sources.setdefault(link.target, []).append(link.source)
    targets: dict[tuple[int, ...], list[int]] = {}
    for target, some in sources.items():
        targets.setdefault(tuple(sorted(some)), []).append(target)
    return [
        Mesh(some, ends) for some, ends in targets.items() if len(some) >= MIN_SIDE and len(ends) >= MIN_SIDE
    ]


def join_meshes(picture: Picture) -> Picture:
    """Put junctions into a drawing, in narrow columns of their own before the boxes that need them."""
    meshes = find_meshes(picture)
    if not meshes:
        return picture
    before = {picture.boxes[mesh.targets[0]].column for mesh in meshes}
    shifts = list(accumulate(int(column in before) for column in range(picture.columns)))
    boxes = [replace(box, column=box.column + shifts[box.column]) for box in picture.boxes]
    mesh_of = {target: mesh for mesh in meshes for target in mesh.targets}
    links = [link for link in picture.links if link.target not in mesh_of]
    joined: dict[int, list[Link]] = {}
    for link in picture.links:
        if link.target in mesh_of:
            joined.setdefault(mesh_of[link.target].targets[0], []).append(link)
    for mesh in meshes:
        column = boxes[mesh.targets[0]].column - 1
        links += _through(len(boxes), mesh, joined[mesh.targets[0]], picture.boxes)
        boxes.append(Box(Form.JUNCTION, column, "", Counter(), 0, 0, (column, column)))
    return replace(picture, boxes=boxes, links=links, columns=picture.columns + len(before))


def _through(junction: int, mesh: Mesh, links: Sequence[Link], boxes: Sequence[Box]) -> list[Link]:
    """Return the links to a junction and from it, which replace those of its mesh."""
    failed_from = Counter(link.source for link in links if link.failed)
    failed_to = Counter(link.target for link in links if link.failed)
    needed = sum(boxes[source].total for source in mesh.sources)
    needing = sum(boxes[target].total for target in mesh.targets)
    return [
        *(
            Link(
                source,
                junction,
                1,
                min(1, failed_from[source]),
                f"{needing} tasks need {one_line(boxes[source].label, 60)}",
            )
            for source in mesh.sources
        ),
        *(
            Link(
                junction,
                target,
                1,
                min(1, failed_to[target]),
                f"{one_line(boxes[target].label, 60)} needs {needed} tasks",
            )
            for target in mesh.targets
        ),
    ]
