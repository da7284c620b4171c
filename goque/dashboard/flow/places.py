"""Where the boxes of a drawing are and how its links run. Lengths are CSS pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from goque.dashboard.flow.boxes import Form, Picture
from goque.dashboard.flow.lines import LINE_GAP, find_lines
from goque.dashboard.flow.order import Web
from goque.dashboard.flow.sizes import MAX_TALL, Size, size_of

SIDE: Final = 22.0
NARROW_SIDE: Final = 3.0
TOP: Final = 10.0
GAP: Final = 14.0
COMPACT_GAP: Final = 7.0
BEND_GAP: Final = 12.0
MIN_CHANNEL: Final = 48.0
COUNTED_CHANNEL: Final = 84.0
MAX_CHANNEL: Final = 168.0
ROUNDS: Final = 10
BEND_WEIGHT: Final = 4.0
MAX_PORT_STEP: Final = 8.0
MAX_PORTS: Final = 8
"""More links than this end at one point, because their arrow heads would overlap."""


Point = tuple[float, float]


@dataclass(frozen=True)
class Placed:
    """A box's left upper corner and its size."""

    x: float
    y: float
    size: Size


@dataclass(frozen=True)
class Layout:
    """The places of all boxes, the points of all links, and the size of the drawing.

    A link goes level from its first point to the second, in a curve to the third, level to the fourth, and so on.
    A link to the next line of a wide drawing has in `gutters` the height at which it goes back to the left.
    """

    boxes: Sequence[Placed]
    routes: Sequence[Sequence[Point]]
    gutters: Mapping[int, float]
    width: int
    height: int


def lay_out(picture: Picture, web: Web) -> Layout:
    """Give places to the boxes and the links of an ordered web."""
    sizes = _measure(picture)
    centers = _center_items(web, sizes)
    columns = _place_columns(picture, web, sizes, centers)
    lines = find_lines(picture, columns)
    needs_side = len(lines) > 1 or any(box.outside for box in picture.boxes if box.column == 0)
    side = SIDE if needs_side else NARROW_SIDE
    bottom, gutter_above = _stack_lines(lines, web, sizes, centers)
    for line in lines:
        shift = side - columns[line.start][0]
        columns[line.start : line.stop] = [
            (left + shift, right + shift) for left, right in columns[line.start : line.stop]
        ]
    boxes = [
        Placed(columns[box.column][0], centers[at] - sizes[at].height / 2, sizes[at])
        for at, box in enumerate(picture.boxes)
    ]
    routes = _route(picture, web, boxes, centers, columns)
    right = max((end for _, end in columns), default=0.0)
    gutters = {
        at: gutter_above[picture.boxes[link.target].column]
        for at, link in enumerate(picture.links)
        if picture.boxes[link.target].column in gutter_above
    }
    return Layout(boxes, routes, gutters, math.ceil(right + side), math.ceil(bottom + TOP))


def _stack_lines(
    lines: Sequence[range], web: Web, sizes: Sequence[Size], centers: list[float]
) -> tuple[float, dict[int, float]]:
    """Move the items of each line below the line before.

    Return the lower end of the last line, and the height of the gutter above each line but the first, by its column.
    """
    y = TOP
    gutters: dict[int, float] = {}
    for line in lines:
        if line.start:
            y += LINE_GAP
            gutters[line.start] = y - LINE_GAP / 2
        items = [item for column in line for item in web.columns[column]]
        halves = [sizes[item].height / 2 if item < len(sizes) else 0.0 for item in items]
        shift = y - min(centers[item] - half for item, half in zip(items, halves, strict=True))
        for item, half in zip(items, halves, strict=True):
            centers[item] += shift
            y = max(y, centers[item] + half)
    return y, gutters


def _measure(picture: Picture) -> list[Size]:
    """Measure the boxes; those of tasks in one column get the same width."""
    tasks = [box.form is Form.TASK for box in picture.boxes]
    crowd = Counter(box.column for box, is_task in zip(picture.boxes, tasks, strict=True) if is_task)
    sizes = [size_of(box, is_compact=crowd[box.column] > MAX_TALL) for box in picture.boxes]
    widest: dict[int, float] = {}
    for box, is_task, size in zip(picture.boxes, tasks, sizes, strict=True):
        if is_task:
            widest[box.column] = max(widest.get(box.column, 0.0), size.width)
    return [
        replace(size, width=widest[box.column]) if is_task else size
        for box, is_task, size in zip(picture.boxes, tasks, sizes, strict=True)
    ]


def _center_items(web: Web, sizes: Sequence[Size]) -> list[float]:
    """Return the height of the middle of each item: near the items that it is linked with, and below the one above."""
    centers = [0.0] * len(web.left)
    weights = [1.0 if item < len(sizes) else BEND_WEIGHT for item in range(len(centers))]
    distances = [[_distance(sizes, one, other) for one, other in pairwise(column)] for column in web.columns]
    both = [left + right for left, right in zip(web.left, web.right, strict=True)]
    for turn in range(ROUNDS):
        near = both if turn >= ROUNDS - 2 else (web.left, web.right)[turn % 2]
        step = 1 if turn % 2 == 0 else -1
        for column, apart in list(zip(web.columns, distances, strict=True))[::step]:
            wanted = [
                sum(centers[other] for other in near[item]) / len(near[item]) if near[item] else centers[item]
                for item in column
            ]
            for item, center in zip(
                column, spread(wanted, [weights[item] for item in column], apart), strict=True
            ):
                centers[item] = center
    _straighten(web, centers, distances)
    return centers


def _straighten(web: Web, centers: list[float], distances: Sequence[Sequence[float]]) -> None:
    """Move all bends of a link to one height if their neighbors leave room for that."""
    places = {item: (at, place) for at, column in enumerate(web.columns) for place, item in enumerate(column)}
    for route in web.routes:
        bends = route[1:-1]
        low, high = -math.inf, math.inf
        for item in bends:
            at, place = places[item]
            column = web.columns[at]
            if place:
                low = max(low, centers[column[place - 1]] + distances[at][place - 1])
            if place + 1 < len(column):
                high = min(high, centers[column[place + 1]] - distances[at][place])
        if bends and low <= high:
            middle = min(max(sum(centers[item] for item in bends) / len(bends), low), high)
            for item in bends:
                centers[item] = middle


def _distance(sizes: Sequence[Size], one: int, other: int) -> float:
    """Return how far apart the middles of two neighbors in a column must be."""
    halves, gap = 0.0, COMPACT_GAP
    for item in (one, other):
        if item >= len(sizes):
            gap = max(gap, BEND_GAP)
        else:
            halves += sizes[item].height / 2
            gap = gap if sizes[item].is_compact else GAP
    return halves + gap


def spread(wanted: Sequence[float], weights: Sequence[float], distances: Sequence[float]) -> list[float]:
    """Return places as near to the wanted ones as the distances between neighbors allow, by least squares.

    This is the pool-adjacent-violators algorithm: neighbors that are too close are joined, and move as one block.
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, float, int]] = []  # the mean of a block, its weight, its length
    for place, weight, offset in zip(wanted, weights, offsets, strict=False):
        mean, heavy, length = place - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, weight_before, length_before = blocks.pop()
            mean = (mean * heavy + before * weight_before) / (heavy + weight_before)
            heavy += weight_before
            length += length_before
        blocks.append((mean, heavy, length))
    means = [mean for mean, _, length in blocks for _ in range(length)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _place_columns(
    picture: Picture, web: Web, sizes: Sequence[Size], centers: Sequence[float]
) -> list[tuple[float, float]]:
    """Return the left and the right end of each column. Steep links and links with a count get a wide channel."""
    counted = {
        picture.boxes[end].column + side
        for link in picture.links
        if link.count > 1
        for end, side in ((link.source, 0), (link.target, -1))
    }
    places: list[tuple[float, float]] = []
    x = 0.0
    for at, column in enumerate(web.columns):
        width = max((sizes[item].width for item in column if item < len(sizes)), default=0.0)
        places.append((x, x + width))
        steepest = max(
            (abs(centers[item] - centers[other]) for item in column for other in web.right[item]), default=0.0
        )
        least = COUNTED_CHANNEL if at in counted else MIN_CHANNEL
        x += width + round(min(max(least, MIN_CHANNEL + 0.14 * steepest), MAX_CHANNEL))
    return places


def _route(
    picture: Picture,
    web: Web,
    boxes: Sequence[Placed],
    centers: Sequence[float],
    columns: Sequence[tuple[float, float]],
) -> list[list[Point]]:
    routes: list[list[Point]] = []
    for link, route in zip(picture.links, web.routes, strict=True):
        source, column = boxes[link.source], picture.boxes[link.source].column
        points = [
            (source.x + source.size.width, centers[link.source]),
            (columns[column][1], centers[link.source]),
        ]
        for bend in route[1:-1]:
            column += 1
            points += [(columns[column][0], centers[bend]), (columns[column][1], centers[bend])]
        routes.append(points)
    arrivals: list[list[int]] = [[] for _ in boxes]
    for at, link in enumerate(picture.links):
        arrivals[link.target].append(at)
    for box, center, links in zip(boxes, centers, arrivals, strict=False):
        links.sort(key=lambda at: routes[at][-1][1])
        room = box.size.height - 16 if len(links) <= MAX_PORTS else 0.0
        step = min(MAX_PORT_STEP, max(0.0, room) / max(1, len(links) - 1))
        for place, at in enumerate(links):
            routes[at].append((box.x, center + (place - (len(links) - 1) / 2) * step))
    return routes
