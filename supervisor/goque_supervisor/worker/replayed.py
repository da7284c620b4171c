"""What differs in the worker of a replay: its handler changes nothing in goque's tables."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from goque.execution.transaction_steps import record_steps_through
from goque.flows.withheld_writes import Withheld, withhold_writes_of_process
from goque.steps.question import Answer, Question, State
from goque.task_row import Token
from goque_supervisor.ipc.run_directory import withheld_path


def write_nothing(box: str) -> None:
    """Keep this process from writing to the queue. What it would have written goes to a file, a JSON text a line.

    A line is written at once, so that it outlives a crash of the handler.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    file = os.open(withheld_path(box), flags, 0o600)

    def keep(changes: list[Withheld]) -> None:
        os.write(file, b"".join(msgspec.json.encode(change) + b"\n" for change in changes))

    withhold_writes_of_process(keep)
    record_steps_through(UnrecordedSteps())


class UnrecordedSteps:
    """Stands for the queues of the app, for steps that a handler records in a transaction of its own."""

    @property
    def queue(self) -> UnrecordedSteps:
        """The queue of plain code."""
        return self

    @property
    def async_queue(self) -> AwaitedUnrecordedSteps:
        """The queue of asyncio code."""
        return AwaitedUnrecordedSteps()

    def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record nothing, and answer as if it were recorded."""
        del token, question, conn
        return Answer(State.KNOWN)


class AwaitedUnrecordedSteps:
    """The same for asyncio code."""

    async def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record nothing, and answer as if it were recorded."""
        del token, question, conn
        return Answer(State.KNOWN)
