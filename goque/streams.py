"""The standard streams, which an app may have closed, or replaced by an object with few of their methods."""

from __future__ import annotations

import sys


def flush_streams() -> None:
    """Flush stdout and stderr, so that a later crash or fork does not lose or repeat what was printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S112 - the app's stream may raise anything, and nothing can be lost
            continue
