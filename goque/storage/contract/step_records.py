"""What fetchers, applications and people ask about the recorded steps of tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from goque.steps.question import Answer, Progress, Question
from goque.task_row import Token


class StepRow(msgspec.Struct, frozen=True):
    """One row of `goque_step`, for people.

    Attributes:
        kind: step, sleep, wait, signal or progress; somebody may have written another.
        name: its name, empty for the progress.
        value: the beginning of its JSON text, at most 4,000 characters; None for a sleep, and for a wait that lasts.
        claims: the claim of the run that wrote it, 0 for a signal.
        duration: the seconds that a step took.
        until: the end of a sleep, or the deadline of a wait.
        made_at: when it was written; of the progress, when it was written last.
    """

    kind: str
    name: str
    value: str | None
    claims: int
    duration: float | None
    until: datetime | None
    made_at: datetime


class StepOverview(msgspec.Struct, frozen=True):
    """The rows of a task in `goque_step`, of many steps the first and the last ones.

    Attributes:
        steps: recorded steps, the oldest first, without those in the middle.
        others: sleeps, waits, signals and the progress, the oldest first; of many the last ones.
        counts: how many rows there are of each kind.
        seconds: how long all steps took together.
    """

    steps: list[StepRow] = []
    others: list[StepRow] = []
    counts: dict[str, int] = {}
    seconds: float = 0.0


class RecordedValues(msgspec.Struct, frozen=True):
    """What a run finds of a task's steps.

    Attributes:
        steps: the JSON texts of its recorded steps by name.
        signals: the JSON texts of the signals that it has got or that have come for it, by name.
    """

    steps: dict[str, bytes] = {}
    signals: dict[str, bytes] = {}


class StepRecords(Protocol):
    """Answer runs about their steps, keep signals, and show both."""

    @abstractmethod
    def answer_steps(
        self, asked: Sequence[tuple[Token, Question]], *, timeout: float | None = None
    ) -> list[Answer]:
        """Answer questions of runs, in one transaction, in their order.

        What is answered is committed. A question that is asked twice gets the same answer and changes nothing more.
        A run whose claim does not hold any more is answered LOST. A value that no database can store is REFUSED.
        If the database rejects a question for another reason, it is REFUSED alone, in a transaction of its own.
        A step that an open transaction records (`record_step`) is waited for.

        Args:
            asked: the questions, each with the claim of the run.
            timeout: seconds that the database may keep a statement waiting; None for as long as it ever may.

        Raises:
            DatabaseUnavailableError: the database cannot be reached, or another transaction is in the way; nothing is
                answered, ask again.
        """

    @abstractmethod
    def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the transaction of the caller, which commits it or takes it back.

        The row of the task is not locked. Of two runs that record the same step, the second waits for the transaction
        of the first. Before that, the run has asked OPEN_STEPS, so that the cleaner looks for its steps.

        Returns: KNOWN; LOST if the claim does not hold any more, or another run has recorded the step.
        """

    @abstractmethod
    def signal_task(self, task_id: str, name: str, value: bytes, *, conn: Any = None) -> bool:
        """Keep a signal with a task, and let it run now if it waits for that.

        Args:
            task_id: the task.
            name: the name of the signal.
            value: its JSON text.
            conn: the caller's own connection.

        Returns: whether it is kept; False if there is one of that name.

        Raises:
            TaskNotFoundError: there is no such task.
            TaskStateError: the task has ended.
        """

    @abstractmethod
    def write_progress(self, reports: Sequence[tuple[Token, Progress]]) -> None:
        """Write how far runs are, the last report of each; those whose claim does not hold any more are left out."""

    @abstractmethod
    def steps_of(self, task_id: str, *, limit: int = 1000) -> list[StepRow]:
        """Read the last `limit` rows of a task, the oldest first."""

    @abstractmethod
    def step_overview(self, task_id: str, *, first: int, last: int) -> StepOverview:
        """Read what people see of a task's steps.

        Args:
            task_id: the task.
            first: how many of the oldest steps to read.
            last: how many of the newest steps to read, and how many rows of other kinds.
        """

    @abstractmethod
    def recorded_values(self, task_id: str) -> RecordedValues:
        """Read the whole values of a task's recorded steps and signals."""
