"""Keep the results of tasks that others need, which at the start of the task nobody needed perhaps."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from goque.outcome import Change
from goque.storage.sql.session import Session
from goque.storage.sql.statements.flows import FlowStatements

_log: Final = logging.getLogger("goque.storage")


def needed_by_flows(changes: Iterable[Change]) -> set[str]:
    """Return what the flows need that these changes insert."""
    return {edge.needs_id for change in changes for flow in change.flows for edge in flow.edges}


def keep_results(session: Session, sql: FlowStatements, changes: Sequence[Change]) -> None:
    """Write the results of these changes, which are written and whose tasks others need.

    It belongs into the transaction of the ends: whatever needs these tasks finds the results there.
    """
    found = [
        {"id": change.token.task_id, "claims": change.token.claims, "result": change.needed_result.decode()}
        for change in changes
        if change.needed_result is not None
    ]
    if found:
        session.run_many(sql.keep_result, found)


def tell_missing(changes: Iterable[Change]) -> None:
    """Say which of these changes, which are written and whose tasks others need, have lost their result, and why."""
    for change in changes:
        if change.no_result is not None:
            task_id, task_type = change.token.task_id, change.no_result.type
            _log.warning(
                "task %s of type %s is done without a result, but other tasks need it: %s",
                task_id,
                task_type,
                change.no_result.reason,
                extra={"task_id": task_id, "task_type": task_type},
            )
