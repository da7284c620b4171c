"""Decide what happens to a task whose owner is dead, by its row and the published policy of its type. No I/O here."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from goque import retry
from goque.errors import ConfigurationError
from goque.outcome import Change, Outcome, OutcomeKind, release, settle
from goque.retry import DEFAULT, Strategy
from goque.storage.contract import TypePolicy
from goque.task_row import TaskRow, TaskStatus
from goque.task_rules.retry_policy import RetryPolicy
from goque.telemetry.rate_limit import RateLimit

log = logging.getLogger("goque.healer")
_lines: Final = RateLimit()


def heal(row: TaskRow, cause: str, policy: TypePolicy | None) -> Change:
    """Decide what happens to a task whose owner is dead. The task loses an attempt only if it ran.

    A task of a type without a published policy, such as a type of the Go library, never loses an attempt.
    """
    if row.status not in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        return release(row)
    if policy is None:
        return settle(Outcome(OutcomeKind.INTERRUPTED), row, RetryPolicy())
    if row.status == TaskStatus.PENDING:
        kind = OutcomeKind.LOST_UNSTARTED if row.claimed_by else OutcomeKind.UNSTARTED
        return settle(Outcome(kind), row, RetryPolicy())
    return settle(Outcome(OutcomeKind.LOST_RUNNING, cause), row, retry_policy(policy))


def retry_policy(policy: TypePolicy) -> RetryPolicy:
    """Return the retry policy in a published policy."""
    strategy = None if policy.strategy is None else strategy_of(policy.strategy, policy.type)
    return RetryPolicy(policy.max_attempts, strategy, policy.max_crashes)


def strategy_of(text: str, task_type: str) -> Strategy:
    """Return a published strategy. For an invalid text, return the default and log one line a minute."""
    try:
        strategy = msgspec.json.decode(text, type=Strategy)
        match strategy:
            case retry.Static():
                return retry.static(strategy.period)
            case retry.Step():
                return retry.step(strategy.periods)
            case retry.RoundStep():
                return retry.round_step(strategy.periods)
            case _:
                return retry.exponential(
                    strategy.base, strategy.maximum, strategy.jitter, factor=strategy.factor
                )
    except (ValueError, RecursionError, msgspec.MsgspecError, ConfigurationError) as error:
        if _lines.admits(task_type):
            log.warning(
                "the published retry strategy of type %r cannot be read (%s): the default applies",
                task_type,
                error,
            )
        return DEFAULT
