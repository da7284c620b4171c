"""Signals that wait until a block of the main thread has ended, because they raise exceptions there."""

from __future__ import annotations

import os


class HeldSignals:
    """A context manager for the main thread, which may be entered again and again, and nested.

    The signal handlers of a worker of `def` handlers raise TaskTimeout or TaskCanceled wherever the main thread is.
    In this block they wait, so that what goque does for a running handler is done as a whole. They are called after it.
    """

    __slots__ = ("_depth", "_held")

    def __init__(self) -> None:
        self._depth = 0
        self._held: set[int] = set()

    def hold(self, number: int) -> bool:
        """Return whether the handler of this signal must do nothing now; it is called again after the block."""
        if self._depth:
            self._held.add(number)
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        while self._held and not self._depth:
            os.kill(os.getpid(), self._held.pop())
