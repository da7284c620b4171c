"""`goque cancel`, `reset` and `delete`: the changes that people make, to single tasks or to all of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

import click

from goque.cli.command import command, list_option, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, flow_hint, opened_storage, type_hint
from goque.cli.failures.changes import change_group, check_choice, failure_options
from goque.cli.parameters.statuses import Statuses
from goque.describe.cancellation import describe_cancellation
from goque.describe.status_words import explain_words, word_with_status
from goque.errors import GoqueError, TaskNotFoundError, TaskStateError
from goque.identifiers import is_task_id
from goque.storage import TaskStorage
from goque.storage.group_changes import GroupChange, cancel_group, reset_group
from goque.storage.pages import pages_of
from goque.storage.resets import oldest_first, reset_or_blocked
from goque.storage.search_types import TaskSearch
from goque.task_row import TERMINAL_STATUSES, TaskStatus, is_needed
from goque.telemetry.logs import one_line

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

RESETTABLE: Final = TERMINAL_STATUSES | {TaskStatus.ERROR}
CANCELABLE: Final = frozenset(TaskStatus) - TERMINAL_STATUSES


def _choice(verb: str, statuses: frozenset[TaskStatus]) -> Callable[[FunctionT], FunctionT]:
    """Add ID..., --status and --type, which choose the tasks."""

    def add(function: FunctionT) -> FunctionT:
        for one in (
            type_option("With --status: only tasks of this type."),
            list_option(
                "--status",
                "statuses",
                type=Statuses(statuses),
                help=f"{verb} all tasks in these statuses: {explain_words(statuses)}.",
            ),
            click.argument("task_ids", metavar="[ID...]", nargs=-1),
        ):
            function = one(function)
        return function

    return add


@command("cancel")
@_choice("Cancel", CANCELABLE)
@failure_options("Cancel", "cancel at most N tasks a second.")
@database_option
@click.pass_context
def cancel(
    ctx: click.Context,
    /,
    database_url: str | None,
    *,
    failure: str | None,
    per_second: int | None,
    **chosen: Any,
) -> None:
    """Cancel tasks, so that they are never run again.

    A running task is canceled at once, and its handler is stopped as by a timeout. A task that has already ended
    does not change. A task that the Go library runs is canceled in its row only: that library does not notice, and may
    still end it as done. Blocked tasks that need a canceled one to be done are canceled with it. An unknown ID makes
    the exit code 1.

    --failure takes those open tasks of a group of failures that wait for a retry.

    \b
    Examples:
      goque cancel 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque cancel --status waiting --type send_email
      goque cancel --failure 3f9a2c81d0
    """
    check_choice(failure, per_second, **chosen)
    if failure is not None:
        _change_group(ctx, database_url, failure, "canceled", partial(cancel_group, per_second=per_second))
    _change(
        ctx,
        database_url,
        "canceled",
        _cancel,
        lambda storage, search, _: cancel_all(storage, search),
        **chosen,
    )


@command("reset")
@_choice("Reset", RESETTABLE)
@failure_options("Reset", "spread the times at which the tasks are due, so that N a second are.")
@option(
    "--keep-steps",
    is_flag=True,
    help="Keep the recorded steps and the signals of the tasks, so that their handlers continue after them.",
)
@database_option
@click.pass_context
def reset(
    ctx: click.Context,
    /,
    database_url: str | None,
    *,
    failure: str | None,
    per_second: int | None,
    keep_steps: bool,
    **chosen: Any,
) -> None:
    """Make failed or ended tasks new again: without failed attempts, and due at once.

    Claimed tasks, blocked tasks and unknown IDs are refused, and make the exit code 1. If tasks were canceled because a
    task that they need had failed, they are blocked again when you reset that task.

    Recorded steps, signals and progress are deleted, and the handler starts from the beginning. With --keep-steps it
    continues where its last attempt stopped.

    --failure takes the open tasks of a group of failures: those that wait for a retry or have no attempt left, and
    whose last failure is of the group. Tasks that run at the moment are left. With --per-second the tasks are due one
    after the other, so that they do not all run at once.

    \b
    Examples:
      goque reset 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque reset --status failed --type send_email
      goque reset --keep-steps --status failed --type ocr
      goque reset --failure 3f9a2c81d0 --per-second 10
    """
    check_choice(failure, per_second, **chosen)
    if failure is not None:
        change = partial(reset_group, per_second=per_second, keep_steps=keep_steps)
        _change_group(ctx, database_url, failure, "reset", change)
    _change(
        ctx,
        database_url,
        "reset",
        lambda storage, task_id: _reset(storage, task_id, keep_steps=keep_steps),
        lambda storage, search, refused: reset_all(storage, search, refused, keep_steps=keep_steps),
        **chosen,
    )


@command("delete")
@_choice("Delete", TERMINAL_STATUSES)
@database_option
@click.pass_context
def delete(ctx: click.Context, /, database_url: str | None, **chosen: Any) -> None:
    """Delete tasks that have ended, with the record of their failed attempts. You cannot undo this.

    An unknown ID is refused and makes the exit code 1. So is a task that has not ended, a task whose handler is still
    being stopped, and a task that unfinished tasks need. With --status, tasks that unfinished tasks need are skipped,
    and a line shows how many. The cleaner of `goque supervise` also deletes ended tasks, by their age.

    \b
    Examples:
      goque delete 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque delete --status done,canceled --type send_email
    """
    _change(
        ctx,
        database_url,
        "deleted",
        _delete,
        lambda storage, search, _: delete_all(storage, search),
        **chosen,
    )


def _change_group(
    ctx: click.Context,
    database_url: str | None,
    group: str,
    done: str,
    change: Callable[[TaskStorage, str], Iterator[GroupChange]],
) -> NoReturn:
    """Change the open tasks of a group, and end with 1 if any was refused."""
    with opened_storage(database_url) as storage:
        failed = change_group(storage, group, done, change)
    ctx.exit(1 if failed else 0)


def _change(
    ctx: click.Context,
    database_url: str | None,
    done: str,
    change_one: Callable[[TaskStorage, str], str],
    change_all: Callable[[TaskStorage, TaskSearch, Callable[[TaskStateError], None]], int],
    **chosen: Any,
) -> None:
    """Change the chosen tasks, print what came of it, and end with 1 if any was refused."""
    search = _search_of(**chosen)
    with opened_storage(database_url) as storage:
        if search is None:
            failed = _each(
                chosen["task_ids"],
                lambda task_id: change_one(storage, task_id),
                lambda task_id: flow_hint(storage, task_id),
            )
        else:
            refused: list[TaskStateError] = []
            count = change_all(storage, search, refused.append)
            for error in refused:
                _complain(str(error))
            _report(done, count, storage, search)
            failed = bool(refused)
    ctx.exit(1 if failed else 0)


def _search_of(
    *, task_ids: tuple[str, ...], statuses: tuple[TaskStatus, ...], task_type: str | None
) -> TaskSearch | None:
    """Return the search for the chosen tasks, None if they are given by their ids. Raises click.UsageError."""
    if not task_ids and not statuses:
        raise click.UsageError("give IDs, or --status for all tasks in it")
    if task_ids and statuses:
        raise click.UsageError("IDs and --status contradict each other; give one of them")
    if task_type and not statuses:
        raise click.UsageError("--type restricts --status; give both")
    return TaskSearch(task_type=task_type, statuses=statuses) if statuses else None


def _each(
    task_ids: tuple[str, ...], change: Callable[[str], str], name_flow: Callable[[str], str | None]
) -> bool:
    """Change each task and print what came of it; return whether any was refused."""
    failed = False
    for task_id in map(str.lower, task_ids):
        try:
            click.echo(f"{task_id} {change(task_id)}")
        except (TaskNotFoundError, TaskStateError) as error:
            failed = True
            _complain(f"{error}{_hint(task_id, error, name_flow)}")
    return failed


def _hint(task_id: str, error: GoqueError, name_flow: Callable[[str], str | None]) -> str:
    if not is_task_id(task_id):
        return "; `goque list --external-id` shows the id of a task"
    hint = name_flow(task_id) if isinstance(error, TaskNotFoundError) else None
    return f"; {hint}" if hint else ""


def _cancel(storage: TaskStorage, task_id: str) -> str:
    before = storage.get_task(task_id)
    return describe_cancellation(before, canceled=storage.cancel_unless_finished(task_id))


def _reset(storage: TaskStorage, task_id: str, *, keep_steps: bool) -> str:
    return "reset" if storage.reset_unless_claimed(task_id, keep_steps=keep_steps) else "was new already"


def _delete(storage: TaskStorage, task_id: str) -> str:
    if storage.delete_if_finished([task_id]):
        return "deleted"
    row = storage.get_task(task_id)
    if row is None:
        raise TaskNotFoundError(task_id)
    if row.status not in TERMINAL_STATUSES:
        raise TaskStateError(f"task {task_id} is {word_with_status(row.status)}; cancel it first")
    if row.claimed_by is None and is_needed(row):
        raise TaskStateError(
            f"unfinished tasks need task {task_id}; `goque show {task_id}` lists them; delete it when they have ended"
        )
    raise TaskStateError(
        f"the handler of task {task_id} is being stopped; delete the task when it has stopped"
    )


def cancel_all(storage: TaskStorage, search: TaskSearch) -> int:
    """Cancel every task of a search that has not ended, and return the number."""
    done = 0
    for page in pages_of(storage, search):
        for line in page.lines:
            with suppress(TaskNotFoundError):  # somebody has deleted it meanwhile
                done += storage.cancel_unless_finished(line.id)
    return done


def reset_all(
    storage: TaskStorage,
    search: TaskSearch,
    on_refused: Callable[[TaskStateError], None],
    *,
    keep_steps: bool = False,
) -> int:
    """Reset every task of a search once, and return the number; claimed tasks are refused.

    A task that its need holds back is tried again, as long as others were reset.
    """
    done = 0
    left = oldest_first(line.id for page in pages_of(storage, search) for line in page.lines)
    while left:
        refused: dict[str, TaskStateError] = {}
        for task_id in left:
            try:
                done += reset_or_blocked(storage, task_id, keep_steps=keep_steps)
            except TaskNotFoundError:
                pass  # the cleaner has deleted it meanwhile
            except TaskStateError as error:
                refused[task_id] = error
        if len(refused) == len(left):
            for why in refused.values():
                on_refused(why)
            break
        left = list(refused)
    return done


def delete_all(storage: TaskStorage, search: TaskSearch) -> int:
    """Delete every task of a search that has ended and that nobody holds, and return the number.

    Tasks are left that unfinished tasks need; a line on stderr says how many.
    """
    done = needed = 0
    for page in pages_of(storage, search):
        ids = [line.id for line in page.lines]
        deleted = storage.delete_if_finished(ids)
        done += len(deleted)
        left = [storage.get_task(task_id) for task_id in ids if task_id not in deleted]
        needed += sum(row is not None and row.claimed_by is None and is_needed(row) for row in left)
    if needed:
        _complain(f"left {needed} {'task' if needed == 1 else 'tasks'} that unfinished tasks need")
    return done


def _report(done: str, count: int, storage: TaskStorage, search: TaskSearch) -> None:
    click.echo(f"{done} {count} {'task' if count == 1 else 'tasks'}")
    if not count and search.task_type and (hint := type_hint(storage, search.task_type)):
        _complain(hint)


def _complain(text: str) -> None:
    click.echo(f"goque: {one_line(text)}", err=True)
