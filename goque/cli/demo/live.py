"""The live part of the screen of `goque demo`: a bar, and below it what `goque top` shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from goque.cli.demo.progress import Progress
from goque.cli.top.lines import overview_lines
from goque.describe.overview import look
from goque.storage import TaskStorage

PERIOD: Final = 0.2
BAR: Final = 40
ROWS_OF_EVENTS: Final = 6
"""Rows that stay free for lines that are printed above the live part."""


class LiveScreen:
    """Shows the progress in a terminal, and nothing elsewhere.

    Args:
        live: the live part; None without a terminal.
        storage: where the tasks are.
    """

    def __init__(self, live: Live | None, storage: TaskStorage) -> None:
        self._live = live
        self._storage = storage
        self._drawn_at = 0.0

    def draw(self, progress: Progress) -> None:
        """Draw the screen again, if the last time is not just past."""
        now = time.monotonic()
        if self._live is None or now - self._drawn_at < PERIOD:
            return
        self._drawn_at = now
        width, height = self._live.console.size
        seen = look(self._storage, datetime.now(UTC))
        lines = list(overview_lines(seen, width))[: max(0, height - ROWS_OF_EVENTS)]
        shown = [Text(line.text, line.style, no_wrap=True, overflow="crop") for line in lines]
        self._live.update(Group(Text(""), bar(progress), Text(""), *shown), refresh=True)


@contextmanager
def live_screen(console: Console, storage: TaskStorage) -> Iterator[LiveScreen]:
    """Open the live part at the bottom of a terminal; it goes away at the end of the block."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield LiveScreen(None, storage)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveScreen(live, storage)


def bar(progress: Progress) -> Text:
    """Return the bar: how many tasks have ended, of how many."""
    done = BAR * progress.ended_tasks // max(1, progress.total)
    text = Text("  ", no_wrap=True, overflow="crop")
    text.append("━" * done, "green").append("━" * (BAR - done), "dim")
    return text.append(f"  {progress.ended_tasks} of {progress.total} tasks, {progress.seconds:.1f}s")
