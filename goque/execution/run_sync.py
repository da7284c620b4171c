"""Runs coroutines that never wait, without an event loop.

Code for both synchronous and asyncio callers is written once, as a coroutine that awaits a session. If the session
answers at once, the coroutine runs to its end with one `send`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def run_sync(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine whose awaits all answer at once, and return its result.

    Raises:
        RuntimeError: the coroutine waits for a loop, which is a bug of the caller.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: ResultT = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for an event loop, but must run without one")
