"""Draw the hops of a task as an SVG: a bar for each database, from the call of `enqueue` to the commit of the end."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

TITLES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
COLORS: Final = {
    "enqueue": "#4269d0",
    "decide to claim": "#efb118",
    "claim and commit": "#6cc5b0",
    "choose a worker": "#efb118",
    "send to the worker": "#ff725c",
    "record the begin": "#a463f2",
    "decode, call": "#a463f2",
    "handler": "#9498a0",
    "record the end": "#a463f2",
    "send the result": "#ff725c",
    "decide to settle": "#efb118",
    "settle and commit": "#6cc5b0",
}
LEGEND: Final = {
    "#4269d0": "enqueue, its commit, and the wake-up of the fetcher",
    "#efb118": "fetcher",
    "#6cc5b0": "database, asked by the fetcher",
    "#ff725c": "messages between fetcher and worker",
    "#a463f2": "worker",
    "#9498a0": "handler",
}
WIDTH: Final = 960
LEFT: Final = 90
ROW: Final = 64
BAR: Final = 30
MIN_LABEL: Final = 38
"""The width of a part from which its time is written into it."""


def draw(backends: Mapping[str, Mapping[str, float]]) -> str:
    """Return the picture. The values are microseconds."""
    longest = max(sum(hops.values()) for hops in backends.values())
    scale = (WIDTH - LEFT - 80) / longest
    parts = []
    for number, (name, hops) in enumerate(backends.items()):
        parts += _bar(TITLES[name], hops, 34 + number * ROW, scale)
    top = 44 + len(backends) * ROW
    for number, (color, text) in enumerate(LEGEND.items()):
        x, y = LEFT + number % 2 * 400, top + number // 2 * 22
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 11}">{escape(text)}</text>')
    height = top + (len(LEGEND) + 1) // 2 * 22 + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" fill="#333">\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _bar(title: str, hops: Mapping[str, float], y: int, scale: float) -> list[str]:
    """Return the parts of one bar, with a mark where the handler begins."""
    parts = [f'<text x="8" y="{y + 20}" font-weight="bold">{title}</text>']
    x = float(LEFT)
    began = 0.0
    for name, taken in hops.items():
        if name == "handler":
            began = x
        width = max(0.5, taken * scale)
        hint = escape(f"{name}: {taken:.0f} µs")
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLORS[name]}">'
            f"<title>{hint}</title></rect>"
        )
        if width >= MIN_LABEL:
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{y + 20}" text-anchor="middle" fill="#fff">{taken / 1e3:.2f}</text>'
            )
        x += width
    until = sum(list(hops.values())[: list(hops).index("handler")])
    parts.append(
        f'<path d="M{began:.1f} {y - 6}V{y + BAR + 6}" stroke="#333"/>'
        f'<text x="{began:.1f}" y="{y - 9}" text-anchor="middle">handler begins after {until / 1e3:.2f} ms</text>'
        f'<text x="{x + 6:.1f}" y="{y + 20}">{sum(hops.values()) / 1e3:.2f} ms</text>'
    )
    return parts
