"""`goque replay --pdb`: the handler runs in the foreground, and the debugger opens where it raises."""

from __future__ import annotations

import bdb
import pdb  # noqa: T100 - it is what the option asks for
from typing import Final

import click
import msgspec

from goque.cli.replay.app import require_type
from goque.cli.replay.tasks import Found
from goque.config import settle_database_url
from goque.errors import PayloadDecodeError, RateLimited, RetryTask, Snooze, TaskCanceled
from goque.execution.error_groups import deciding_error
from goque.execution.follow_ups import preparing_by
from goque.execution.inline import InlineRunner
from goque.execution.inline_steps import MemorySteps
from goque.flows.withheld_writes import Withheld, withhold_writes_of_process
from goque.handlers.processor import Processor
from goque.handlers.processor_table import processors_of
from goque.steps.pause import StepPause
from goque_supervisor.replay.answers import ReplaySteps
from goque_supervisor.replay.result import Replayed

LONG: Final = 10 * 366 * 86400.0
"""Seconds that stand for no time limit: somebody may look at the handler for as long as it takes."""

MEANT: Final = (StepPause, Snooze, RateLimited, RetryTask, TaskCanceled, PayloadDecodeError)
"""What ends a run without a place in the handler to look at."""


def replay_in_debugger(app: str, database_url: str, found: Found, steps: MemorySteps) -> Replayed:
    """Run the handler in a process that has the terminal; returns there, with the debugger closed again.

    Raises:
        ConfigurationError: the app does not import, or does not run tasks of this type.
    """
    from goque.cli.isolated_load import load_isolated

    settle_database_url(database_url)
    registry = load_isolated(app)
    require_type(found.row.type, registry.task_types)
    processor = _without_limits(processors_of(registry).get(found.row.type))
    withheld: list[Withheld] = []
    answers = ReplaySteps(steps)
    known = set(steps.steps)
    before = withhold_writes_of_process(withheld.extend)
    try:
        with preparing_by(registry.prepare_tasks), InlineRunner(lambda _row: answers) as runner:
            outcome, handled, _recorded = runner.run(processor, found.row)
    finally:
        withhold_writes_of_process(before)
    _open_at(handled.error)
    return Replayed(
        found.row,
        outcome,
        processor.spec.options,
        withheld=tuple(withheld),
        known_steps=len(known),
        new_steps=tuple(name for name in steps.steps if name not in known),
    )


def _without_limits(processor: Processor) -> Processor:
    options = msgspec.structs.replace(processor.spec.options, timeout=LONG, stall_timeout=None)
    return msgspec.structs.replace(processor, spec=msgspec.structs.replace(processor.spec, options=options))


def _open_at(error: BaseException | None) -> None:
    """Open the debugger where an error was raised, unless somebody has just left it by `q`."""
    if error is None or isinstance(deciding_error(error), (*MEANT, bdb.BdbQuit)):
        return
    click.echo(f"{type(error).__qualname__}: {error}")
    pdb.post_mortem(error.__traceback__)
