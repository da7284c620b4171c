"""Count the failed attempts of a batch in their groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from goque.outcome import Change
from goque.storage.sql.session import Session
from goque.storage.sql.statements.failures import FailureStatements
from goque.task_rules.failure_group import error_line

HOUR: Final = 3600


def count_failures(session: Session, sql: FailureStatements, changes: Iterable[Change]) -> None:
    """Add the failed attempts among some changes to their groups, a group once.

    It comes last in a transaction, and takes the groups in the order of their ids: so transactions that count the same
    groups wait for each other, briefly, and cannot deadlock.
    """
    by_group: dict[str, list[Change]] = {}
    for change in changes:
        if change.failed is not None and change.group is not None:
            by_group.setdefault(change.group.id, []).append(change)
    hour = int(session.now.timestamp()) // HOUR if by_group else 0
    for group, failed in sorted(by_group.items()):
        session.run(sql.count_failures, _params(failed))
        session.run(sql.count_hour, {"failure_group": group, "hour": hour, "failures": len(failed)})


def _params(failed: Sequence[Change]) -> dict[str, Any]:
    """Return the parameters of `count_failures` for the failures of one group, the newest last."""
    newest = failed[-1]
    assert newest.group is not None
    assert newest.failed is not None
    versions = [change.failed.app_version for change in failed if change.failed and change.failed.app_version]
    return {
        "failure_group": newest.group.id,
        "type": newest.group.type,
        "cause": newest.group.cause,
        "error_class": newest.group.error_class,
        "line": newest.group.line,
        "error": error_line(newest.failed.error),
        "failures": len(failed),
        "task_id": newest.token.task_id,
        "first_version": versions[0] if versions else None,
        "last_version": versions[-1] if versions else None,
    }
