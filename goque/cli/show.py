"""`goque show`: one task with its failed attempts, its owner and its next step."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, flow_hint, opened_storage, type_hint
from goque.cli.output import COLUMNS, columns_of, json_value, print_json, time_text
from goque.cli.steps.step_lines import read_story, step_lines, steps_json
from goque.describe.limit_words import shown_key
from goque.describe.near_names import near_ids
from goque.describe.need_words import describe_flags, describe_need_counts, has_links, more_than
from goque.describe.status_words import word_of, word_with_status
from goque.describe.step_story import StepStory, has_steps
from goque.describe.step_words import describe_pause
from goque.describe.task_state import describe_claims, describe_next, may_be_held_back
from goque.errors import GoqueError
from goque.storage import TaskStorage
from goque.storage.contract import AttemptRow, Neighbor, TaskLinks
from goque.storage.pages import find_lines
from goque.storage.search_types import TaskLine, TaskSearch
from goque.task_row import TaskRow
from goque.task_rules.checks import is_storable
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.limits import NO_KEY
from goque.telemetry.logs import one_line

MAX_NAMED: Final = 10
"""The most tasks that an error names."""

MAX_LINKED: Final = 10
"""How many needs and dependents are printed."""

MAX_LINKED_IN_JSON: Final = 1_000

NEWEST: Final = 500
"""How many tasks to look at for an id that was probably meant."""


@command("show")
@click.argument("task_id", metavar="ID")
@type_option("The type, if tasks of several types have ID as their external id.")
@option(
    "--json", "as_json", is_flag=True, help="Print one JSON object. Its keys are the columns of the table."
)
@database_option
def show(task_id: str, database_url: str | None, task_type: str | None, *, as_json: bool) -> None:
    """Show a task and its history. ID is the task's own id, or its external id.

    It prints every column, each failed attempt with its traceback or crash report, when and where a run of a second or
    more went well, the flow of the task, which tasks it needs and which need it, its recorded steps and its progress,
    the signal that it waits for, the node that claimed it, and what happens next.

    \b
    Examples:
      goque show 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque show order-7 --type send_email
      goque show 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 --json | jq .errors
    """
    with opened_storage(database_url) as storage:
        row = find_task(storage, task_id, task_type)
        attempts = storage.attempts(row.id)
        policy = storage.type_policies().get(row.type)
        node = next((node for node in storage.nodes() if node.id == row.claimed_by), None)
        now = datetime.now(UTC)
        is_limited = policy and may_be_held_back(row, policy, now)
        load = storage.limit_load(policy, row.limit_key or NO_KEY) if policy and is_limited else None
        most = MAX_LINKED_IN_JSON if as_json else MAX_LINKED
        links = storage.links_of(row.id, most=most) if has_links(row) else None
        story = read_story(storage, row, now, for_json=as_json) if has_steps(row) else StepStory()
    claims = describe_claims(row, node)
    pause = describe_pause(story, row.id, now)
    follows = describe_next(row, policy, node, now, load, links=links, pause=pause)
    if as_json:
        runs: dict[str, list[dict[str, Any]]] = {"failed_attempts": [], "long_runs": []}
        for attempt in attempts:
            if attempt.failed.went_well:
                runs["long_runs"].append(_run_json(attempt))
            else:
                runs["failed_attempts"].append(_attempt_json(attempt))
        words = {"claims": claims, "next": follows}
        facts = {**_links_json(links), **steps_json(story)}
        flow_id = None if links is None else links.flow_id
        print_json({**columns_of(row), "flow_id": flow_id, **runs, **facts, "story": words})
        return
    _print_columns(row)
    for attempt in attempts:
        click.echo()
        _print_attempt(attempt)
    if links is not None:
        _print_links(links)
    for number, line in enumerate(step_lines(story, now)):
        click.echo(f"\n{line}" if not number else line)
    click.echo()
    click.echo(f"claims: {one_line(claims)}")
    click.echo(f"next:   {one_line(follows)}")


def find_task(storage: TaskStorage, text: str, task_type: str | None) -> TaskRow:
    """Return the task with an id, or the only one with an external id.

    Raises:
        GoqueError: there is none, or there are several.
    """
    row = storage.get_task(text.lower())
    if row is not None and task_type in {None, row.type}:
        return row
    search = TaskSearch(external_id=text, task_type=task_type)
    lines = find_lines(storage, search, limit=MAX_NAMED + 1).lines if is_storable(text) else []
    row = storage.get_task(lines[0].id) if len(lines) == 1 else None
    if row is None:
        raise _several(text, lines) if len(lines) > 1 else _unknown(storage, text, task_type)
    return row


def _several(text: str, lines: list[TaskLine]) -> GoqueError:
    named = ", ".join(f"{line.id} ({line.type})" for line in lines[:MAX_NAMED])
    more = " and more" if len(lines) > MAX_NAMED else ""
    return GoqueError(
        f"several tasks have the external id {text!r:.210}: {named}{more}; give one of these ids, or --type"
    )


def _unknown(storage: TaskStorage, text: str, task_type: str | None) -> GoqueError:
    """Return the error for an id that no task has, with what was probably meant."""
    of_type = f"of type {task_type!r:.210} " if task_type else ""
    complaint = f"no task {of_type}has the id or external id {text!r:.210}"
    if hint := flow_hint(storage, text.lower()):
        return GoqueError(f"no task has the id {text!r:.210}; {hint}")
    if task_type and (hint := type_hint(storage, task_type)):
        return GoqueError(f"{complaint}; {hint}")
    newest = storage.search_tasks(TaskSearch(task_type=task_type), limit=NEWEST).lines
    near = " or ".join(near_ids(text, newest))
    return GoqueError(
        f"{complaint}; {f'did you mean {near}?' if near else '`goque list` shows the ids of tasks'}"
    )


def _print_columns(row: TaskRow) -> None:
    labels = {name: "failed attempts" if name == "attempts" else name for name in COLUMNS}
    values = columns_of(row)
    width = max(map(len, labels.values())) + 1
    for name, label in labels.items():
        value = values[name]
        text = _text(value)
        if name == "limit_key" and value is not None:
            text = shown_key(value)
        if name == "status":
            text = word_with_status(row.status)
        if name == "flags":
            text = describe_flags(row.flags) or "-"
        first, *more = text.rstrip("\n").split("\n") if name == "errors" else [text]
        click.echo(f"{label + ':':<{width}} {one_line(first)}".rstrip())
        for line in more:
            click.echo(f"{'':<{width}} {one_line(line)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _print_attempt(attempt: AttemptRow) -> None:
    failed = attempt.failed
    lasted = "" if failed.duration is None else f" after {failed.duration:.3g}s"
    click.echo(f"attempt {failed.attempt}: {one_line(failed.cause)}{lasted}, {time_text(attempt.ended_at)}")
    _print_facts({"failure": failed.failure_group, "app version": failed.app_version, "node": attempt.node})
    peak = None if failed.max_rss is None else f"{failed.max_rss / 2**20:.1f} MiB"
    print_failure(failed, {"peak memory": peak})


def print_failure(failed: FailedAttempt, more: Mapping[str, Any] = {}) -> None:
    """Print what is known of a failed attempt, indented.

    Args:
        failed: the attempt.
        more: other facts about it, by name; None for one that is not known.
    """
    _print_facts(
        {
            "worker pid": failed.worker_pid,
            "exit code": failed.exit_code,
            "signal": None if failed.signal is None else signal_text(failed.signal),
            **more,
            "out of memory": failed.oom,
        }
    )
    _print_block("error", failed.error)
    _print_block("traceback", failed.traceback)
    _print_block("Python stack when it died", failed.stack)
    _print_block("last lines of stderr", failed.stderr)


def _print_facts(facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        if value is not None:
            click.echo(f"  {name + ':':<14} {one_line(str(value))}")


def signal_text(number: int) -> str:
    """Return `11 (SIGSEGV)`."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _print_block(title: str, text: str | None) -> None:
    lines = (text or "").rstrip().splitlines()
    if not lines:
        return
    click.echo(f"  {title}:")
    for line in lines:
        click.echo(f"    {one_line(line.expandtabs())}".rstrip())


def _attempt_json(attempt: AttemptRow) -> dict[str, Any]:
    failed = msgspec.to_builtins(attempt.failed)
    return {
        "node": attempt.node,
        "started_at": json_value(attempt.started_at),
        "ended_at": json_value(attempt.ended_at),
        **failed,
    }


def _run_json(attempt: AttemptRow) -> dict[str, Any]:
    """Return what is known of a run that went well."""
    known = ("node", "started_at", "ended_at", "attempt", "worker_pid", "duration", "app_version")
    return {name: value for name, value in _attempt_json(attempt).items() if name in known}


def _print_links(links: TaskLinks) -> None:
    """Print the flow, the needs and the dependents of a task, those that it has."""
    click.echo()
    if links.flow_id is not None:
        click.echo(f"flow: {links.flow_id} {one_line(links.flow_name)}")
    if links.need_counts:
        click.echo(f"needs: {describe_need_counts(links)}")
        _print_neighbors(links.needs, sum(links.need_counts.values()))
    if links.dependent_count:
        click.echo(f"needed by: {links.dependent_count:,}")
        _print_neighbors(links.dependents, links.dependent_count)


def _print_neighbors(tasks: Sequence[Neighbor], total: int) -> None:
    for task in tasks:
        status, name = (word_of(task.status), task.type) if task.status else ("deleted", "-")
        wanted = " (however it ends)" if task.wants == "ended" else ""
        click.echo(f"  {one_line(task.id)}  {one_line(status):<8}  {one_line(name)}{wanted}")
    if more := more_than(tasks, total):
        click.echo(f"  and {more:,} more")


def _links_json(links: TaskLinks | None) -> dict[str, Any]:
    seen = links or TaskLinks()
    return {
        "flow": {"id": seen.flow_id, "name": seen.flow_name} if seen.flow_id else None,
        "needs": [_neighbor_json(task) for task in seen.needs],
        "need_counts": {state: seen.need_counts.get(state, 0) for state in ("open", "met", "failed")},
        "dependents": [_neighbor_json(task) for task in seen.dependents],
        "dependent_count": seen.dependent_count,
    }


def _neighbor_json(task: Neighbor) -> dict[str, Any]:
    """Return a task beside another one; type and status of a deleted one are null."""
    return {
        "id": task.id,
        "type": task.type or None,
        "status": task.status or None,
        "when": task.wants,
        "state": task.state,
    }
