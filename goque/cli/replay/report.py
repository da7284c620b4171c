"""What `goque replay ID` prints: how the run ended, and what a tree would have written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec

from goque.cli.output import json_value, print_json, shortened
from goque.cli.show import print_failure
from goque.describe.same_failure import is_same_failure
from goque.flows.task_to_insert import TaskToInsert
from goque.outcome import OutcomeKind
from goque.task_rules.failed_attempt import FailedAttempt
from goque.telemetry.logs import one_line
from goque_supervisor.replay.result import Replayed

MAX_LISTED: Final = 20
"""How many tasks are printed that would have been enqueued."""

MAX_PAYLOAD: Final = 60

ENDS: Final = {
    OutcomeKind.DONE: "succeeded",
    OutcomeKind.FAILED: "failed",
    OutcomeKind.TIMED_OUT: "timed out",
    OutcomeKind.CRASHED: "crashed",
    OutcomeKind.CANCELED: "canceled itself",
    OutcomeKind.SNOOZED: "was put off",
    OutcomeKind.WAITING: "waits for a signal",
    OutcomeKind.RATE_LIMITED: "was put off by a rate limit",
    OutcomeKind.UNSTARTED: "did not start",
}


def print_replayed(replayed: Replayed, last: FailedAttempt | None) -> None:
    """Print the result of one replay."""
    row, outcome = replayed.row, replayed.outcome
    click.echo(f"{one_line(row.type)} {row.id}, attempt {row.attempts + 1}: {describe_end(replayed)}")
    if replayed.max_rss:
        click.echo(f"  {'peak memory:':<14} {replayed.max_rss / 2**20:.1f} MiB{_memory_note(replayed)}")
    if replayed.failed is not None:
        print_failure(replayed.failed)
    if outcome.kind is OutcomeKind.DONE:
        click.echo(f"  {'result:':<14} {one_line(_result_text(replayed))}")
    if last is not None and replayed.failed is not None:
        same = "the same failure as" if is_same_failure(last, replayed.failed) else "another failure than"
        click.echo(f"  {'compared:':<14} {same} attempt {last.attempt} in the table")
    if replayed.known_steps or replayed.new_steps:
        ran = ", ".join(map(one_line, replayed.new_steps[:MAX_LISTED])) or "none"
        more = (
            f" and {len(replayed.new_steps) - MAX_LISTED} more"
            if len(replayed.new_steps) > MAX_LISTED
            else ""
        )
        click.echo(f"  {'steps:':<14} {replayed.known_steps} recorded before; ran {ran}{more}")
    _print_enqueued("would have been enqueued with its end", replayed.follow_ups)
    _print_enqueued("would have been enqueued while it ran", replayed.enqueued)
    if replayed.changes:
        click.echo("  would have been changed while it ran:")
        for change in replayed.changes[:MAX_LISTED]:
            click.echo(f"    {change.action:<11}  {one_line(change.task_id)}")
    click.echo("nothing was written to goque's tables")


def describe_end(replayed: Replayed) -> str:
    """Say in a line how a run ended."""
    outcome = replayed.outcome
    lasted = f" after {outcome.duration:.3g}s" if outcome.duration else ""
    text = f"{ENDS.get(outcome.kind, outcome.kind.value)}{lasted}"
    if replayed.failed is None and outcome.error:
        text = f"{text}: {one_line(outcome.error)}"
    if outcome.kind in (OutcomeKind.SNOOZED, OutcomeKind.RATE_LIMITED) and outcome.delay is not None:
        text = f"{text}, for {outcome.delay:g}s"
    return text


def _memory_note(replayed: Replayed) -> str:
    if replayed.retiring != "memory":
        return ""
    return ", more than max_memory: a tree replaces the worker after this task"


def _result_text(replayed: Replayed) -> str:
    if replayed.outcome.no_result:
        return f"not shown: {replayed.outcome.no_result}"
    raw = raw_result(replayed)
    return "none" if raw is None else raw.decode("utf-8", "replace")


def raw_result(replayed: Replayed) -> bytes | None:
    """Return the JSON text of what the handler returned, None if it returned nothing."""
    outcome = replayed.outcome
    return outcome.needed_result if outcome.result is None else outcome.result


def _print_enqueued(title: str, tasks: Sequence[TaskToInsert]) -> None:
    if not tasks:
        return
    click.echo(f"  {title}:")
    width = max(len(one_line(task.type)) for task in tasks[:MAX_LISTED])
    for task in tasks[:MAX_LISTED]:
        payload = shortened(one_line(task.payload.decode("utf-8", "replace")), MAX_PAYLOAD)
        click.echo(f"    {one_line(task.type):<{width}}  {payload}")
    if len(tasks) > MAX_LISTED:
        click.echo(f"    and {len(tasks) - MAX_LISTED:,} more")


def print_replayed_json(replayed: Replayed, last: FailedAttempt | None) -> None:
    """Print the result of one replay as a JSON object."""
    print_json(replayed_json(replayed, last))


def replayed_json(replayed: Replayed, last: FailedAttempt | None) -> dict[str, Any]:
    """Return the result of one replay as data."""
    row, outcome, failed = replayed.row, replayed.outcome, replayed.failed
    return {
        "id": row.id,
        "type": row.type,
        "attempt": row.attempts + 1,
        "end": outcome.kind.value,
        "succeeded": replayed.has_succeeded,
        "error": outcome.error or None,
        "duration": outcome.duration or None,
        "max_rss": replayed.max_rss or None,
        "delay": outcome.delay,
        "result": json_value(raw_result(replayed)),
        "no_result": outcome.no_result or None,
        "failure": None if failed is None else msgspec.to_builtins(failed),
        "before": None if last is None else msgspec.to_builtins(last),
        "same_failure": None if failed is None or last is None else is_same_failure(last, failed),
        "steps": {"recorded_before": replayed.known_steps, "ran": list(replayed.new_steps)},
        "follow_ups": [_task_json(task) for task in replayed.follow_ups],
        "changes": [{"action": one.action, "id": one.task_id} for one in replayed.changes],
        "enqueued": [_task_json(task) for task in replayed.enqueued],
    }


def _task_json(task: TaskToInsert) -> dict[str, Any]:
    return {
        "type": task.type,
        "external_id": task.external_id,
        "payload": json_value(task.payload),
        "delay": task.delay,
        "priority": task.priority,
    }
