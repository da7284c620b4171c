"""The steps of handlers that run in this process: in the table where there is one, else in memory."""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from goque.steps.question import Answer, Ask, Progress, Question, State
from goque.storage.sql.caller_connection import is_asyncio
from goque.task_row import Token


class StepStorage(Protocol):
    """What steps need of a storage."""

    def answer_steps(self, asked: list[tuple[Token, Question]]) -> list[Answer]:
        """Answer questions, in one transaction."""

    def write_progress(self, reports: list[tuple[Token, Progress]]) -> None:
        """Write how far runs are."""

    def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the caller's transaction."""

    def asyncio_tasks(self) -> Any:
        """Return what does the same with connections of asyncio."""


class InlineSteps(Protocol):
    """What keeps the steps of a run in this process; it answers at once, so nothing is awaited."""

    is_async: bool

    def ask(self, question: Question) -> Answer:
        """Answer a question."""

    def record_in(self, conn: Any, question: Question) -> Any:
        """Record a step in the caller's transaction; return the answer, or a coroutine of it."""

    def note_progress(self, fraction: float, note: str) -> None:
        """Take how far the run is."""

    def note_step(self, names: str) -> None:
        """Take which steps run now."""

    def moved(self) -> None:
        """Take that a step has ended."""


class TableSteps:
    """The way of a run to the table, without a fetcher between.

    Args:
        storage: the table's storage.
        token: the claim of the run.
    """

    is_async = False

    def __init__(self, storage: StepStorage, token: Token) -> None:
        self._storage = storage
        self._token = token

    def ask(self, question: Question) -> Answer:
        """Ask the table."""
        [answer] = self._storage.answer_steps([(self._token, question)])
        return answer

    def record_in(self, conn: Any, question: Question) -> Answer:
        """Record a step in the caller's transaction."""
        return self._storage.record_step(self._token, question, conn=conn)

    async def record_awaited(self, conn: Any, question: Question) -> Answer:
        """Do the same with a connection of asyncio."""
        answer: Answer = await self._storage.asyncio_tasks().record_step(self._token, question, conn=conn)
        return answer

    def note_progress(self, fraction: float, note: str) -> None:
        """Write how far the run is."""
        self._storage.write_progress([(self._token, Progress(fraction, note))])

    def note_step(self, names: str) -> None:
        """Note nothing: nobody looks at this process when it is dead."""

    def moved(self) -> None:
        """Note nothing: this process has no `stall_timeout`."""


class MemorySteps:
    """The steps of a run without a table.

    Args:
        steps: the JSON texts of the steps that are recorded before the run, by name; a sleep of such a name is over.
        signals: those of the signals that have come before it, by name.
        expired: the signals whose wait has ended without them.

    Attributes:
        steps: the JSON texts of recorded steps by name.
        sleeps: when each sleep began.
        progress: the last progress.
    """

    is_async = False

    def __init__(
        self,
        steps: Mapping[str, bytes] = {},
        signals: Mapping[str, bytes] = {},
        expired: Collection[str] = (),
    ) -> None:
        self.steps = dict(steps)
        self.signals = dict(signals)
        self.expired = frozenset(expired)
        self.sleeps: dict[str, float] = {}
        self.waits: dict[str, float] = {}
        self.progress: Progress | None = None

    def ask(self, question: Question) -> Answer:
        """Answer from memory."""
        match question.ask:
            case Ask.READ | Ask.OPEN_STEPS:
                return Answer(State.KNOWN, steps=tuple(sorted(self.steps.items())))
            case Ask.RECORD:
                self.steps.setdefault(question.name, question.value)
                return Answer(State.KNOWN)
            case Ask.SLEEP if question.name in self.steps:
                return Answer(State.KNOWN)
            case Ask.SLEEP:
                left = self._left(self.sleeps, question)
                return Answer(State.OPEN, seconds=left) if left else Answer(State.KNOWN)
            case Ask.WAIT:
                return self._wait(question)

    def _wait(self, question: Question) -> Answer:
        if question.name in self.signals:
            return Answer(State.KNOWN, self.signals[question.name])
        if question.name in self.expired:
            return Answer(State.EXPIRED)
        if question.seconds is None:
            return Answer(State.OPEN)
        left = self._left(self.waits, question)
        return Answer(State.OPEN, seconds=left) if left else Answer(State.EXPIRED)

    @staticmethod
    def _left(begun: dict[str, float], question: Question) -> float:
        now = time.time()
        since = begun.setdefault(question.name, now)
        return max(0.0, since + (question.seconds or 0.0) - now)

    def record_in(self, conn: Any, question: Question) -> Answer:
        """Record a step in memory, whatever becomes of the transaction."""
        del conn
        return self.ask(question)

    def note_progress(self, fraction: float, note: str) -> None:
        """Keep how far the run is."""
        self.progress = Progress(fraction, note)

    def note_step(self, names: str) -> None:
        """Note nothing."""

    def moved(self) -> None:
        """Note nothing."""


class AwaitedSteps:
    """The same for an `async def` handler.

    Args:
        steps: what answers.
    """

    is_async = True

    def __init__(self, steps: InlineSteps) -> None:
        self._steps = steps
        self.note_progress = steps.note_progress
        self.note_step = steps.note_step
        self.moved = steps.moved

    async def ask(self, question: Question) -> Answer:
        """Ask."""
        return self._steps.ask(question)

    async def record_in(self, conn: Any, question: Question) -> Answer:
        """Record a step in the caller's transaction, whose connection may be one of asyncio."""
        if isinstance(self._steps, TableSteps) and is_asyncio(conn):
            return await self._steps.record_awaited(conn, question)
        answer = self._steps.record_in(conn, question)
        said: Answer = await answer if inspect.isawaitable(answer) else answer
        return said
