"""Reads numbers that somebody else wrote: whatever a column admits becomes a number that every process can hold."""

from __future__ import annotations

import math
from typing import Any, Final

from goque.task_row import MAX_COUNT

_MAX_INT: Final = 2**63 - 1


def read_count(value: Any) -> int:
    """Read a counter; 0 for what is no whole number."""
    return min(max(value, -MAX_COUNT - 1), MAX_COUNT) if isinstance(value, int) else 0


def read_optional_int(value: Any) -> int | None:
    """Read a number of 64 bits; None for what is no whole number."""
    return value if isinstance(value, int) and -_MAX_INT <= value <= _MAX_INT else None


def read_number(value: Any, default: float | None, *, least: float = 0.0, most: float = math.inf) -> Any:
    """Read a finite number within limits; the default for what is none, or is below the least."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        return default
    return min(value, most)
