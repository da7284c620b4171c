"""Draw docs/retries.svg: the delay after each failure, by strategy, on a logarithmic scale.

Run it with the interpreter of .venv after you change a strategy; a test compares the file with its output.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from goque import retry

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "retries.svg"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 460, 64, 330, 24, 48
FAILURES = 14
MIN_DELAY, MAX_DELAY = 1.0, 4 * 3600.0
TICKS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 14400: "4 h"}
JITTER = 0.1
LINES = (
    ("static(600)", "#6b7280", retry.static(600)),
    ("exponential(1, 3600)", "#15803d", retry.exponential(1, 3600)),
    ("step(FIBONACCI_PERIODS)", "#7c3aed", retry.step(retry.FIBONACCI_PERIODS)),
    ("step(STRONG_PERIODS)", "#0369a1", retry.step(retry.STRONG_PERIODS)),
    ("round_step([10, 60, 300])", "#b45309", retry.round_step([10, 60, 300])),
    (
        "default: exponential(10, 3600, 0.1, factor=6)",
        "#be123c",
        retry.exponential(retry.DEFAULT.base, retry.DEFAULT.maximum, factor=retry.DEFAULT.factor),
    ),
)


def x_of(failure: int) -> float:
    """Return the x coordinate of a failure."""
    return LEFT + (failure - 1) * (WIDTH - LEFT - RIGHT) / (FAILURES - 1)


def y_of(seconds: float) -> float:
    """Return the y coordinate of a delay."""
    part = math.log(max(seconds, MIN_DELAY) / MIN_DELAY) / math.log(MAX_DELAY / MIN_DELAY)
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def points(strategy: retry.Strategy, factor: float = 1.0) -> list[str]:
    """Return the corners of a strategy's line."""
    delays = [(n, strategy(n).total_seconds() * factor) for n in range(1, FAILURES + 1)]
    return [f"{x_of(n):.1f},{y_of(delay):.1f}" for n, delay in delays]


def draw() -> str:
    """Return the picture as SVG."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        "<title>The delay after each failure, by strategy</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for seconds, text in TICKS.items():
        y = y_of(seconds)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#374151">{text}</text>')
    for n in range(1, FAILURES + 1):
        y = HEIGHT - BOTTOM + 20
        parts.append(f'<text x="{x_of(n):.1f}" y="{y}" text-anchor="middle" fill="#374151">{n}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle" '
        'fill="#374151">failures</text>'
    )
    default = LINES[-1][2]
    band = [*points(default, 1 + JITTER), *reversed(points(default, 1 - JITTER))]
    parts.append(f'<polygon points="{" ".join(band)}" fill="#be123c" fill-opacity="0.12"/>')
    for index, (name, colour, strategy) in enumerate(LINES):
        parts.append(
            f'<polyline points="{" ".join(points(strategy))}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        for corner in points(strategy):
            x, _, y = corner.partition(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        parts += legend(name, colour, index)
    parts += legend("with its jitter: anywhere here", "#be123c", len(LINES), band=True)
    return "\n".join([*parts, "</svg>", ""])


def legend(name: str, colour: str, index: int, *, band: bool = False) -> list[str]:
    """Return the line of the legend for one strategy."""
    x, y = WIDTH - RIGHT + 24, TOP + 12 + index * 24
    mark = (
        f'<rect x="{x}" y="{y - 12}" width="24" height="14" fill="{colour}" fill-opacity="0.12"/>'
        if band
        else f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2"/>'
    )
    return [mark, f'<text x="{x + 32}" y="{y}" fill="#111827">{name}</text>']


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    target.write_text(draw(), "utf-8")
