"""What `goque reset --failure` and `goque cancel --failure` do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from goque.cli.command import option
from goque.cli.parameters.values import Text, WholeNumber
from goque.describe.task_state import lasting
from goque.errors import GoqueError
from goque.storage import TaskStorage
from goque.storage.group_changes import GroupChange
from goque.telemetry.logs import one_line

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

MAX_RATE: Final = 1_000_000


def failure_options(verb: str, per_second: str) -> Callable[[FunctionT], FunctionT]:
    """Add --failure and --per-second.

    Args:
        verb: what the command does, `Reset`.
        per_second: the help text of --per-second.
    """

    def add(function: FunctionT) -> FunctionT:
        function = option(
            "--per-second", type=WholeNumber(1, MAX_RATE), metavar="N", help=f"With --failure: {per_second}"
        )(function)
        return option(
            "--failure",
            type=Text(),
            metavar="GROUP",
            help=f"{verb} the open tasks of a group of failures; `goque failures` lists the groups.",
        )(function)

    return add


def check_choice(failure: str | None, per_second: int | None, **others: Any) -> None:
    """Refuse options that contradict each other. Raises click.UsageError."""
    if per_second is not None and failure is None:
        raise click.UsageError("--per-second spreads the tasks of --failure; give both")
    if failure is not None and any(others.values()):
        raise click.UsageError("--failure names all its tasks; leave out IDs, --status and --type")


def change_group(
    storage: TaskStorage,
    group: str,
    done: str,
    change: Callable[[TaskStorage, str], Iterator[GroupChange]],
) -> bool:
    """Change the open tasks of a group, say how many, and return whether any was refused.

    Args:
        storage: where they are.
        group: the group.
        done: the past tense, `reset`.
        change: changes them.

    Raises:
        GoqueError: there is no such group.
    """
    if storage.failure_group(group) is None:
        raise GoqueError(f"no failures have the group {group!r:.80}; `goque failures` lists the groups")
    [state] = deque(change(storage, group), maxlen=1) or [GroupChange()]
    for error in state.reasons:
        click.echo(f"goque: {one_line(str(error))}", err=True)
    if (more := state.refused - len(state.reasons)) > 0:
        click.echo(f"goque: and {more:,} more were refused", err=True)
    last = f"; the last is due in {lasting(state.due_in)}" if state.due_in >= 1 else ""
    click.echo(f"{done} {state.changed} {_tasks(state.changed)}{last}")
    if not (state.changed or state.refused or state.left):
        click.echo(
            "goque: no open task has this failure as its last one: they have run since, or failed in another way",
            err=True,
        )
    if state.left:
        click.echo(
            f"goque: {state.left} {_tasks(state.left)} with no attempt left cannot be canceled, only reset or deleted",
            err=True,
        )
    return bool(state.refused)


def _tasks(count: int) -> str:
    return "task" if count == 1 else "tasks"
