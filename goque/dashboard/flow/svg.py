"""Write a laid out flow as SVG: classes only, because the dashboard's policy forbids inline styles and scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from goque.dashboard.flow.boxes import Box, Form, Link, Picture
from goque.dashboard.flow.graph import FlowNode
from goque.dashboard.flow.icons import KINDS, definitions, in_order, look_of
from goque.dashboard.flow.places import Layout, Placed, Point
from goque.dashboard.flow.sizes import (
    CELL,
    CELL_STEP,
    ICON,
    ID_GAP,
    ID_LENGTH,
    JUNCTION,
    PADDING,
    SMALL_SIZE,
    TEXT_LEFT,
    TYPE_SIZE,
    id_width,
)
from goque.dashboard.flow.texts import escaped, fit, last_characters, one_line, width_of
from goque.dashboard.formats import count as with_commas
from goque.dashboard.formats import visible

STUB: Final = 15.0
ARROW: Final = 9.0
TURN: Final = 20.0
CORNER: Final = 8.0
COUNT_SIZE: Final = 11.0
TIMES: Final = "\N{MULTIPLICATION SIGN}"


def write_svg(picture: Picture, layout: Layout, title: str, summary: str) -> str:
    """Return the SVG text of a drawing."""
    width, height = number(layout.width), number(layout.height)
    links = [
        (link, points, layout.gutters.get(at))
        for at, (link, points) in enumerate(zip(picture.links, layout.routes, strict=True))
    ]
    links.sort(key=lambda one: one[0].failed > 0)  # the failed ones are drawn last, above the others
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow-drawing" role="graphics-document img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'aria-labelledby="flow-title" aria-describedby="flow-desc">'
    )
    parts = [
        start,
        f'<title id="flow-title">{escaped(title)}</title><desc id="flow-desc">{escaped(summary)}</desc>',
        definitions(),
        *(_link(link, points, gutter, picture.boxes) for link, points, gutter in links),
        *(_box(box, placed) for box, placed in zip(picture.boxes, layout.boxes, strict=True)),
        *(_link_count(link, points, gutter) for link, points, gutter in links if link.count > 1),
        "</svg>",
    ]
    return "".join(parts)


def number(value: float) -> str:
    """Write a length with at most one digit after the point."""
    return f"{value:.1f}".removesuffix(".0")


def words_of_counts(counts: Counter[str]) -> str:
    """Return counts by status in words, in the order of a task's life: `3 done, 1 running`."""
    known = [status for status in KINDS if counts[status]]
    others = sorted(status for status in counts if status not in KINDS)
    shown = [f"{with_commas(counts[status])} {look_of(status).word}" for status in known]
    shown += [f"{with_commas(counts[status])} {one_line(status, 40)}" for status in others[:10]]
    return ", ".join(shown)


def path_of(points: Sequence[Point], gutter: float | None = None) -> str:
    """Return a smooth path whose end is level, so that an arrow head fits on it."""
    *before, (last_x, last_y) = points
    points = before if gutter is not None else [*before, (last_x - ARROW, last_y)]
    x, y = points[0]
    parts = [f"M{number(x)} {number(y)}"]
    for at, (to_x, to_y) in enumerate(points[1:]):
        if at % 2 == 0 or abs(to_y - y) < 0.05:
            parts.append(f"H{number(to_x)}" if to_x != x else "")
        else:
            middle = number((x + to_x) / 2)
            parts.append(f"C{middle} {number(y)} {middle} {number(to_y)} {number(to_x)} {number(to_y)}")
        x, y = to_x, to_y
    if gutter is not None:
        parts.append(_to_next_line(x, y, gutter, last_x, last_y))
    return "".join(parts) + f"H{number(last_x)}"


def _to_next_line(x: float, y: float, gutter: float, to_x: float, to_y: float) -> str:
    """Go down to the gutter, back to the left, and down to the next line, with round corners."""
    right, left = number(x + TURN), number(to_x - TURN)
    down, back = number(gutter), number(to_y)
    return (
        f"H{number(x + TURN - CORNER)}Q{right} {number(y)} {right} {number(y + CORNER)}"
        f"V{number(gutter - CORNER)}Q{right} {down} {number(x + TURN - CORNER)} {down}"
        f"H{number(to_x - TURN + CORNER)}Q{left} {down} {left} {number(gutter + CORNER)}"
        f"V{number(to_y - CORNER)}Q{left} {back} {number(to_x - TURN + CORNER)} {back}"
    )


def _link(link: Link, points: Sequence[Point], gutter: float | None, boxes: Sequence[Box]) -> str:
    end = "-failed" if link.failed else ""
    source, target = (one_line(boxes[at].label, 60) for at in (link.source, link.target))
    told = link.title or f"{target} needs {source}"
    if link.count > 1:
        told += f": {with_commas(link.count)} needs"
    if link.failed:
        told += f", {with_commas(link.failed)} failed" if link.count > 1 else ", which failed"
    head = "" if boxes[link.target].form is Form.JUNCTION else f' marker-end="url(#flow-head{end})"'
    return (
        f'<path class="flow-link{" flow-link-failed" if end else ""}" d="{path_of(points, gutter)}"{head}>'
        f"<title>{escaped(told)}</title></path>"
    )


def _link_count(link: Link, points: Sequence[Point], gutter: float | None) -> str:
    """Write how many needs a link stands for onto the middle of its first curve."""
    (x, y), (to_x, to_y) = points[1], points[2]
    middle, height = (x + to_x) / 2, (y + to_y) / 2 if gutter is None else gutter
    told, kind = f"{TIMES}{with_commas(link.count)}", ""
    if link.failed:
        told, kind = f"{with_commas(link.failed)} of {with_commas(link.count)}", " flow-count-failed"
    wide = width_of(told, COUNT_SIZE) + 4
    return (
        f'<g class="flow-count{kind}" aria-hidden="true"><rect x="{number(middle - wide / 2)}" '
        f'y="{number(height - 8)}" width="{number(wide)}" height="16" rx="4"/>'
        f'<text x="{number(middle)}" y="{number(height + 4)}">{told}</text></g>'
    )


def _box(box: Box, placed: Placed) -> str:
    if box.form is Form.JUNCTION:
        x, y, radius = (number(value + JUNCTION / 2) for value in (placed.x, placed.y, 0.0))
        return f'<circle class="flow-junction" cx="{x}" cy="{y}" r="{radius}"/>'
    stub = _stub(box, placed) if box.outside else ""
    if box.form is Form.TASK:
        return stub + _task(box, placed)
    return stub + _many(box, placed)


def _stub(box: Box, placed: Placed) -> str:
    """Draw a short line for needs that are no tasks of this flow."""
    y = placed.y + placed.size.height - 8
    return (
        f'<g class="flow-stub"><title>{escaped(_outside(box))}</title>'
        f'<path d="M{number(placed.x - STUB)} {number(y)}H{number(placed.x)}"/>'
        f'<circle cx="{number(placed.x - STUB)}" cy="{number(y)}" r="3"/></g>'
    )


def _outside(box: Box) -> str:
    return f"{with_commas(box.outside)} {'need' if box.outside == 1 else 'needs'} outside of this flow"


def _task(box: Box, placed: Placed) -> str:
    (node, is_failed), size = box.members[0], placed.size
    look = look_of(node.status)
    room = size.width - TEXT_LEFT - PADDING
    middle = size.height / 2
    icon = _icon(look.kind, PADDING, middle - ICON / 2, ICON)
    base = middle + 4.5 if size.is_compact else middle - 4
    label = escaped(fit(node.type, TYPE_SIZE, room))
    texts = f'<text class="flow-type" x="{number(TEXT_LEFT)}" y="{number(base)}">{label}</text>'
    if not size.is_compact:
        word = fit(look.word, SMALL_SIZE, room)
        id_text = last_characters(node.id, ID_LENGTH)
        texts += f'<text class="flow-status" x="{number(TEXT_LEFT)}" y="{number(middle + 13)}">{escaped(word)}</text>'
        if width_of(word, SMALL_SIZE) + ID_GAP + id_width(node.id) <= room:
            texts += (
                f'<text class="flow-id" x="{number(size.width - PADDING)}" y="{number(middle + 13)}">'
                f"{escaped(id_text)}</text>"
            )
    inside = (
        f'<rect class="flow-box" x="1" y="1" width="{number(size.width - 2)}" height="{number(size.height - 2)}" '
        f'rx="7"/>{icon}{texts}'
    )
    return _node(node, is_failed=is_failed, kind="flow-task", outside=box, inside=_frame(placed, inside))


def _node(node: FlowNode, *, is_failed: bool, kind: str, inside: str, outside: Box | None = None) -> str:
    """Wrap the picture of one task into its link and its tooltip."""
    look = look_of(node.status)
    word = look.word if look.word == node.status else f"{look.word} ({node.status})"
    lines = [node.type, node.id, word, node.note]
    if outside is not None and outside.outside:
        lines.append(_outside(outside))
    title = "\n".join(one_line(line) for line in lines if line)
    names = f"{kind} flow-{look.kind}{' flow-failed-path' if is_failed else ''}"
    if not node.href:
        return f'<g class="{names}"><title>{escaped(title)}</title>{inside}</g>'
    return (
        f'<a class="{names}" href="{escaped(visible(node.href))}"><title>{escaped(title)}</title>{inside}</a>'
    )


def _frame(placed: Placed, inside: str) -> str:
    """Put the picture of a box at its place, and cut off what does not fit."""
    return (
        f'<svg x="{number(placed.x)}" y="{number(placed.y)}" width="{number(placed.size.width)}" '
        f'height="{number(placed.size.height)}">{inside}</svg>'
    )


def _icon(kind: str, x: float, y: float, size: float) -> str:
    return (
        f'<use class="flow-icon" href="#flow-icon-{kind}" x="{number(x)}" y="{number(y)}" width="{number(size)}" '
        f'height="{number(size)}"/>'
    )


def _many(box: Box, placed: Placed) -> str:
    """Draw a box of many tasks: its type, how many, the counts by status, and cells or a bar."""
    size = placed.size
    total = f"{TIMES}{with_commas(box.total)}"
    label = escaped(fit(box.label, TYPE_SIZE, size.width - 2 * PADDING - width_of(total, TYPE_SIZE) - 8))
    first, last = box.depths
    deep = "" if first == last else f", depths {first} to {last}"
    tasks = "1 task" if box.total == 1 else f"{with_commas(box.total)} tasks"
    told = f"{one_line(box.label)}\n{tasks}{deep}: {words_of_counts(box.counts)}"
    if box.outside:
        told += f"\n{_outside(box)}"
    counts = "".join(
        f'<g class="flow-{look_of(one.status).kind}">{_icon(look_of(one.status).kind, one.x, one.y, 14)}'
        f'<text class="flow-status" x="{number(one.x + 18)}" y="{number(one.y + 11.5)}">{escaped(one.text)}</text></g>'
        for one in size.counts
    )
    inside = (
        f'<rect class="flow-box" x="1" y="1" width="{number(size.width - 2)}" height="{number(size.height - 2)}" '
        f'rx="7"/><text class="flow-type" x="{number(PADDING)}" y="20">{label}</text>'
        f'<text class="flow-total" x="{number(size.width - PADDING)}" y="20">{total}</text>{counts}'
        + (_cells(box, placed) if box.form is Form.GROUP else _bar(box, placed))
    )
    failed = " flow-some-failed" if box.failed else ""
    return (
        f'<g class="flow-many flow-{box.form.value}{failed}"><title>{escaped(told)}</title>'
        f"{_frame(placed, inside)}</g>"
    )


def _cells(box: Box, placed: Placed) -> str:
    parts = []
    for at, (node, is_failed) in enumerate(box.members):
        x = PADDING + at % placed.size.across * CELL_STEP
        y = placed.size.body + at // placed.size.across * CELL_STEP
        inside = (
            f'<rect class="flow-box" x="{number(x + 0.5)}" y="{number(y + 0.5)}" width="{number(CELL - 1)}" '
            f'height="{number(CELL - 1)}" rx="5"/>{_icon(look_of(node.status).kind, x + 4, y + 4, CELL - 8)}'
        )
        parts.append(_node(node, is_failed=is_failed, kind="flow-cell", inside=inside))
    return "".join(parts)


def _bar(box: Box, placed: Placed) -> str:
    """Draw the share of each status as a part of a bar."""
    x, room = PADDING, placed.size.width - 2 * PADDING
    parts = []
    for status, count in in_order(box.counts):
        wide = room * count / box.total
        parts.append(
            f'<rect class="flow-part flow-{look_of(status).kind}" x="{number(x)}" y="{number(placed.size.body)}" '
            f'width="{number(max(wide, 0.1))}" height="6"/>'
        )
        x += wide
    return "".join(parts)
