"""The marks by which the reader of a worker's standard error knows the lines of its log."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

_ANY_MARK: Final = re.compile(r"\x1e[0-9a-f]{16}\x1f")


def mark_of(stderr: str | os.PathLike[str]) -> str:
    """Return the mark of a worker by the path of its standard error.

    The name of the run directory is random, so that nothing that a handler merely passes on has the mark.
    """
    return f"\x1e{hashlib.sha256(os.fsencode(Path(stderr))).hexdigest()[:16]}\x1f"


def without_marks(text: str) -> str:
    """Return a text without the marks of any worker."""
    return _ANY_MARK.sub("", text)
