"""Decides what happens to a task whose owner is dead, from its row and the published policy of its type. Pure."""

from __future__ import annotations

import msgspec

from goque.outcome import Change, Outcome, OutcomeKind, RetryPolicy, release, settle
from goque.retry import Strategy
from goque.storage.contract import TypePolicy
from goque.task import TaskRow, TaskStatus


def heal(row: TaskRow, cause: str, policy: TypePolicy | None) -> Change:
    """Decide what happens to a task whose owner is dead: it loses an attempt only if it ran.

    A task whose type has no published policy, as with the original, never loses one.
    """
    if row.status not in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        return release(row)  # changed by another process: only the owner is removed
    if policy is None:
        return settle(Outcome(OutcomeKind.INTERRUPTED), row, RetryPolicy())
    if row.status == TaskStatus.PENDING:
        kind = OutcomeKind.LOST_UNSTARTED if row.claimed_by else OutcomeKind.UNSTARTED
        return settle(Outcome(kind), row, RetryPolicy())
    return settle(Outcome(OutcomeKind.LOST_RUNNING, cause), row, retry_policy(policy))


def retry_policy(policy: TypePolicy) -> RetryPolicy:
    """Return the retry policy that a type's owner has published."""
    strategy = None if policy.strategy is None else msgspec.json.decode(policy.strategy, type=Strategy)
    return RetryPolicy(policy.max_attempts, strategy, policy.max_crashes)
