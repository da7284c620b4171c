"""Waiting for what can be observed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float = 15.0) -> T:
    """Wait until a condition is true, and return what made it so; bounded in seconds."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g}s: {_source(condition)}; last {found!r}")
        time.sleep(0.01)
    return found


def _source(condition: Callable[[], Any]) -> str:
    code = condition.__code__
    lines = Path(code.co_filename).read_text("utf-8").splitlines()
    return lines[code.co_firstlineno - 1].strip()
