"""Coroutines that never wait, run without a loop.

What both a synchronous and an asyncio caller need is written once, as a coroutine over something that is awaited.
Given something that answers at once, such a coroutine runs to its end at the first push.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def run_sync(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine whose every await answers at once, and return its result.

    Raises:
        RuntimeError: it waits for a loop, which is a bug of the caller's.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: ResultT = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for an event loop, and was to run without one")
