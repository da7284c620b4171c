"""What people see of a group of failures, in words. No I/O happens here."""

from __future__ import annotations

from typing import Final

from goque.storage.contract import FailureSummary

CAUSES: Final = {
    "exception": "error",
    "timeout": "timeout",
    "stall": "no progress",
    "memory": "out of memory",
    "lost": "node lost",
    "lost_unstarted": "nodes lost before the start",
}


def describe_cause(group: FailureSummary) -> str:
    """Say what kind of failure it was: `KeyError`, `timeout`, `crash: SIGSEGV`."""
    return group.error_class or CAUSES.get(group.cause, group.cause)


def describe_failure(group: FailureSummary) -> str:
    """Say what failed: `KeyError at tasks.py in send: user["name"]`."""
    cause = describe_cause(group)
    return f"{cause} at {group.line}" if group.line else cause


def describe_versions(group: FailureSummary) -> str:
    """Name the first and the last version of the app that failed so; empty if none is known."""
    if group.first_version == group.last_version:
        return group.last_version or ""
    return f"{group.first_version} to {group.last_version}"
