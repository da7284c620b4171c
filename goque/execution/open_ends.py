"""Let go of what a handler that has failed still holds, such as the open transaction of a connection.

An exception holds its frames, and a frame may hold the exception. Only the garbage collector ends such a circle, some
time later. Until then the transaction of the last attempt would be in the way of the next one.
"""

from __future__ import annotations

import gc
import traceback
from typing import Final

MOST: Final = 1000
"""How many exceptions are looked at: of a group, and of the chain before each."""


def let_go(error: BaseException | None, *, collects: bool = False) -> None:
    """Clear the frames of an exception, and of those that it was raised from, is in the way of, or has in it.

    Args:
        error: the exception; None for nothing.
        collects: whether to collect garbage too. A connection of `sqlite3` is a circle in itself, which nothing else
            ends. It takes some milliseconds.
    """
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MOST:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    if collects and error is not None:
        gc.collect()
