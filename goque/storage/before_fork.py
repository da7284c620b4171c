"""What to close before workers are forked: two processes that share one connection read each other's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_closers: Final[list[Callable[[], None]]] = []


def close_before_fork(close: Callable[[], None]) -> None:
    """Have a function called in the process that has imported the app, before it forks workers.

    Args:
        close: closes connections that their owner opens again at the next use.
    """
    if close not in _closers:
        _closers.append(close)


def close_connections() -> None:
    """Call these functions. Only one thread may run."""
    for close in _closers:
        close()
