"""The help that `?` shows in `goque top`: its keys and its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from goque.cli.output import fitted
from goque.cli.top.lines import Line

KEYS: Final = (
    ("up, down, k, j", "move the cursor; home and end: first and last line"),
    ("p", "pause a type on every node, or resume it"),
    ("enter", "list a type's failed tasks; escape goes back"),
    ("r", "reset a type's failed tasks, or one task; asks first"),
    ("c", "cancel a worker's running task, or one task; asks first"),
    ("d", "drain a node of this machine, or resume it; asks first"),
    ("a", "also show processes that run no tasks"),
    ("?", "show the keys and the columns; any key goes back"),
    ("q", "quit"),
)
COLUMNS: Final = (
    ("WAITING", "tasks that no node has claimed"),
    ("RETRY", "waiting tasks that have failed before"),
    ("BUSY", "tasks that a node has claimed"),
    ("LATENCY", "how long the oldest due task has waited"),
    ("RUNS/S, FAILED, TOOK", "runs a second, failures, mean time, in the last minute"),
    ("WORKERS", "running workers / wanted workers"),
    ("MEM", "memory; shared memory is divided among processes"),
    ("CPU", "the share of one processor since the heartbeat before"),
    ("RUNS, FOR", "the task that the worker runs, and for how long"),
)
_NAME_WIDTH: Final = 20


def help_lines(width: int) -> Iterator[Line]:
    """Yield the lines of the help."""
    for title, entries in (("KEYS", KEYS), ("COLUMNS", COLUMNS)):
        yield Line(fitted(f"  {title}", width), "bold")
        for name, meaning in entries:
            yield Line(fitted(f"  {name:<{_NAME_WIDTH}}  {meaning}", width))
