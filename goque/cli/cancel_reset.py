"""`goque cancel` and `goque reset`: the status changes that people make."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from goque.cli.command import command, database_option, opened_storage, option
from goque.describe.cancellation import describe_cancellation
from goque.errors import TaskNotFoundError, TaskStateError
from goque.storage import TaskStorage
from goque.task import TaskFilter, TaskRow, TaskStatus
from goque.telemetry.logs import one_line

RESETTABLE = ("attempts_left", "error", "canceled", "done")
BATCH = 1000


@command("cancel")
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
@database_option
@click.pass_context
def cancel(ctx: click.Context, task_ids: tuple[str, ...], database_url: str | None) -> None:
    """Cancel tasks, so that they are never run again.

    A running task is canceled at once, and its handler is stopped as by a timeout. A task that has already ended
    does not change. A task that the Go library runs is canceled in its row only: that library does not notice, and may
    still end it as done. An unknown ID makes the exit code 1.

    \b
    Example:
      goque cancel 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
    """
    failed = False
    with opened_storage(database_url) as storage:
        for task_id in map(str.lower, task_ids):
            try:
                before = storage.get_task(task_id)
                canceled = storage.cancel_unless_finished(task_id)
            except TaskNotFoundError as error:
                failed = True
                _complain(error)
            else:
                click.echo(f"{task_id} {describe_cancellation(before, canceled=canceled)}")
    ctx.exit(1 if failed else 0)


@command("reset")
@click.argument("task_ids", metavar="[ID...]", nargs=-1)
@option(
    "--status",
    type=click.Choice(RESETTABLE),
    metavar="STATUS",
    help=f"Reset all tasks in this status: {', '.join(RESETTABLE[:-1])} or {RESETTABLE[-1]}.",
)
@option("--type", "task_type", metavar="TYPE", help="With --status: only tasks of this type.")
@database_option
@click.pass_context
def reset(
    ctx: click.Context,
    task_ids: tuple[str, ...],
    database_url: str | None,
    status: str | None,
    task_type: str | None,
) -> None:
    """Make failed or ended tasks new again: without attempts, and due at once.

    A claimed task is refused, and so is an unknown ID. Both make the exit code 1.

    \b
    Examples:
      goque reset 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque reset --status attempts_left --type send_email
    """
    if not task_ids and not status:
        raise click.UsageError("give IDs, or --status for all tasks in it")
    if task_ids and status:
        raise click.UsageError("IDs and --status contradict each other; give one of them")
    if task_type and not status:
        raise click.UsageError("--type restricts --status; give both")
    with opened_storage(database_url) as storage:
        if status:
            refused: list[TaskStateError] = []
            done = reset_all(
                storage, TaskFilter(status=TaskStatus(status), task_type=task_type), refused.append
            )
            for error in refused:
                _complain(error)
            click.echo(f"reset {done} {'task' if done == 1 else 'tasks'}")
            failed = bool(refused)
        else:
            failed = _reset_each(storage, task_ids)
    ctx.exit(1 if failed else 0)


def _reset_each(storage: TaskStorage, task_ids: tuple[str, ...]) -> bool:
    failed = False
    for task_id in map(str.lower, task_ids):
        try:
            was_reset = storage.reset_unless_claimed(task_id)
        except (TaskNotFoundError, TaskStateError) as error:
            failed = True
            _complain(error)
        else:
            click.echo(f"{task_id} {'reset' if was_reset else 'was new already'}")
    return failed


def reset_all(storage: TaskStorage, wanted: TaskFilter, on_refused: Callable[[TaskStateError], None]) -> int:
    """Reset every matching task once, and return the number; claimed tasks are refused."""
    done = 0
    for row in _each_once(storage, wanted):
        try:
            done += storage.reset_unless_claimed(row.id)
        except TaskNotFoundError:
            pass  # the cleaner has deleted it meanwhile
        except TaskStateError as error:
            on_refused(error)
    return done


def _each_once(storage: TaskStorage, wanted: TaskFilter) -> Iterator[TaskRow]:
    """Yield every matching task once, also if it fails again meanwhile and so matches again."""
    seen: set[str] = set()
    limit = BATCH
    while True:
        rows = storage.find_tasks(wanted, limit=limit)
        fresh = [row for row in rows if row.id not in seen]
        if not fresh:
            return
        seen.update(row.id for row in fresh)
        limit = BATCH + len(rows) - len(fresh)
        yield from fresh


def _complain(error: Exception) -> None:
    click.echo(f"goque: {one_line(str(error))}", err=True)
