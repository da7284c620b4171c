"""Report an app whose import ends its process or takes long; standard library only, since the root reports it too."""

from __future__ import annotations

from typing import Final

from goque_supervisor.ipc.exit_cause import ExitCause

SLOW_IMPORT: Final = 10.0
"""Seconds after which an import that still runs is reported."""


def import_ended(app: str, cause: ExitCause) -> str:
    """Describe how a process ended while it imported an app, or the registry that was handed over."""
    return f"{subject(app)} cannot be imported: the process that imported it ended by {cause}"


def import_is_slow(app: str, pid: int) -> str:
    """Describe an import that takes long, and perhaps never ends, and name the process that imports."""
    return (
        f"{subject(app)} is still being imported after {SLOW_IMPORT:g}s, in process {pid}: "
        "find out what it waits for"
    )


def subject(app: str) -> str:
    """Name an app, or the registry that was handed over, at the start of a sentence about it."""
    return f"app {app!r}" if app else "the registry"
