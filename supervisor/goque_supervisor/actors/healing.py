"""What becomes of a task whose owner is dead: pure decisions from the row and its type's published policy."""

from __future__ import annotations

import msgspec

from goque.outcome import Change, Outcome, OutcomeKind, RetryPolicy, settle
from goque.retry import Strategy
from goque.storage.contract import TypePolicy
from goque.task import TaskRow, TaskStatus


def heal(row: TaskRow, cause: str, policy: TypePolicy | None) -> Change:
    """Decide what becomes of a task whose owner is dead: charged if it ran, free if it had not begun.

    A task of a type without a published policy (the original's) is never charged.
    """
    if row.status not in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        return Change(row.token, TaskStatus(row.status), row.attempts)  # moved by others: only disowned
    if policy is None:
        return settle(Outcome(OutcomeKind.INTERRUPTED), row, RetryPolicy())
    if row.status == TaskStatus.PENDING:
        kind = OutcomeKind.LOST_UNSTARTED if row.claimed_by else OutcomeKind.UNSTARTED
        return settle(Outcome(kind), row, RetryPolicy())
    return settle(Outcome(OutcomeKind.LOST_RUNNING, cause), row, retry_policy(policy))


def retry_policy(policy: TypePolicy) -> RetryPolicy:
    """Read the retry policy that a type's owner has published."""
    strategy = None if policy.strategy is None else msgspec.json.decode(policy.strategy, type=Strategy)
    return RetryPolicy(policy.max_attempts, strategy, policy.max_crashes)
