"""The ranges of time that people choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from goque.dashboard import queries
from goque.describe.run_counts import COARSE, FINE, MINUTE


@dataclass(frozen=True)
class Range:
    """A range of time until now.

    Attributes:
        words: what it is called behind "the last".
        seconds: its length.
        step: seconds of each bar.
        is_counted: whether ended tasks are counted in the table; else the roll-ups tell how many there were.
        rollup: the length of the slots of the roll-ups that are read.
        times_step: seconds of each point of the lines.
    """

    words: str
    seconds: int
    step: int
    is_counted: bool
    rollup: int
    times_step: int


RANGES: Final = {
    "10m": Range("10 minutes", 600, 10, True, MINUTE, 60),
    "1h": Range("hour", 3600, 60, True, MINUTE, 60),
    "6h": Range("6 hours", 6 * 3600, 600, False, FINE, 600),
    "24h": Range("24 hours", 86400, 1800, False, FINE, 1800),
    "7d": Range("7 days", 7 * 86400, 7200, False, COARSE, 7200),
}
USUAL: Final = "10m"


def range_name(request: Request) -> str:
    """Return the name of the range that a request asks for. Raises BadQueryError if there is no such range."""
    name = request.query_params.get("window", USUAL)
    if name not in RANGES:
        raise queries.BadQueryError(f"{name!r:.80} is no range of time; choose one of {', '.join(RANGES)}")
    return name
