"""The steps of one run of a handler: which are recorded, which names are taken, and what the table is asked.

`Talk` generators hold the order of questions and answers once, for `def` and `async def` handlers alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, NoReturn, Protocol, TypeVar

from goque.errors import MAX_DELAY, GoqueError, SignalTimeout, TaskLost, length
from goque.payload import encode_payload
from goque.steps.open_calls import OpenCalls
from goque.steps.pause import StepPause
from goque.steps.question import Answer, Ask, Progress, Question, State, check_step_name

ResultT = TypeVar("ResultT")
Talk = Generator[Question, Answer, ResultT]
"""Yields a question, is sent its answer, and returns the result."""


class StepChannel(Protocol):
    """The way of a run to the table.

    Attributes:
        is_async: whether `ask` must be awaited.
    """

    is_async: bool

    def ask(self, question: Question) -> Any:
        """Return the answer to a question, or a coroutine of it.

        Raises:
            GoqueError: the caller is not the thread that runs the handler.
        """

    def note_step(self, names: str) -> None:
        """Note which steps run now, for those who look at this process when it is dead."""

    def moved(self) -> None:
        """Note that a step has ended."""

    def note_progress(self, fraction: float, note: str) -> None:
        """Note how far the run is."""

    def record_in(self, conn: Any, question: Question) -> Any:
        """Record a step in the caller's transaction; return the answer, or a coroutine of it."""


class StepRun:
    """The steps of one run.

    Args:
        channel: the way to the table.
        max_result: the bytes of a value at most.
        is_first: whether no earlier run can have recorded anything.

    Attributes:
        pause: what the run waits for, once a sleep or a wait has ended it.
        progress: how far the run has said that it is.
        is_in_transactions: whether it records steps in transactions of the application.
        calls: the functions of steps that run now, of an `async def` handler.
    """

    def __init__(self, channel: StepChannel, max_result: int, *, is_first: bool) -> None:
        self.channel = channel
        self._max_result = max_result
        self._known: dict[str, bytes] = {}
        self._is_read = is_first
        self.is_in_transactions = False
        self._taken: set[str] = set()
        self._running: list[str] = []
        self._is_lost = False
        self._is_closed = False
        self.pause: StepPause | None = None
        self.progress: Progress | None = None
        self.calls = OpenCalls()

    @property
    def known(self) -> Mapping[str, bytes]:
        """The JSON texts of the steps that the run has found recorded, or has recorded."""
        return self._known

    def close(self) -> None:
        """Take no more questions: the handler has ended."""
        self._is_closed = True

    # -- names -------------------------------------------------------------------------------------------

    def take(self, name: str, what: str = "the name of a step", *, pauses: bool = False) -> None:
        """Take a name for this run.

        Args:
            name: the name.
            what: what it is, in errors.
            pauses: whether it is for a sleep or a wait; several of them may end one run.

        Raises:
            GoqueError: a step of this run has it, or the handler has ended.
            ConfigurationError: it is no name.
            TaskLost: the claim is gone.
            StepPause: a sleep or a wait has ended this run, and its handler goes on all the same.
        """
        self.check_open()
        if self.pause is not None and not pauses:
            raise self.pause.again()
        check_step_name(what, name)
        if name in self._taken:
            raise GoqueError(f"this run has a step {name!r} already; give each step a name of its own")
        self._taken.add(name)

    def check_open(self) -> None:
        """Refuse what comes after the end of the handler, or after its claim is gone."""
        if self._is_closed:
            raise GoqueError("a step is too late: the handler has ended")
        if self._is_lost:
            raise TaskLost(
                "this run no longer holds its task, because the task was canceled or claimed again; stop here"
            )

    def begin(self, name: str) -> float:
        """Note that a step runs; return the time."""
        self._running.append(name)
        self.channel.note_step(", ".join(self._running))
        return time.monotonic()

    def fail(self, name: str) -> None:
        """Note that a step has not ended well: its name is free again."""
        self._taken.discard(name)
        self.end(name)

    def end(self, name: str) -> None:
        """Note that a step does not run any more."""
        if name in self._running and not self._is_closed:  # the generator of `each` may outlive the handler
            self._running.remove(name)
            self.channel.note_step(", ".join(self._running))

    # -- talks -------------------------------------------------------------------------------------------

    def recorded(self, name: str, *, in_transaction: bool = False) -> Talk[bytes | None]:
        """Return the recorded JSON text of a step, or None."""
        if not self._is_read or (in_transaction and not self.is_in_transactions):
            yield from self._read(in_transaction=in_transaction)
        return self._known.get(name)

    def _read(self, *, in_transaction: bool) -> Talk[None]:
        ask = Ask.OPEN_STEPS if in_transaction else Ask.READ
        after, is_all = "", False
        while not is_all:
            answer = yield from self._ask(Question(ask, after))
            self._known.update(answer.steps)
            is_all = answer.is_all
            after = answer.steps[-1][0] if answer.steps else ""
        self._is_read = True
        self.is_in_transactions |= in_transaction

    def question(self, name: str, value: Any, began: float) -> Question:
        """Make the question that records a value.

        Raises:
            PayloadEncodeError, InvalidPayloadFormatError: the value cannot be JSON, or is too large.
        """
        raw = encode_payload(value, what=f"step {name!r}", limit=self._max_result)
        return Question(Ask.RECORD, name, raw, duration=time.monotonic() - began)

    def record(self, question: Question) -> Talk[bytes]:
        """Record a value; return its JSON text when it is durable."""
        yield from self._ask(question)
        return self.note_recorded(question)

    def note_recorded(self, question: Question) -> bytes:
        """Note that a step is recorded; return its JSON text."""
        self._known[question.name] = question.value
        self.channel.moved()
        return question.value

    def sleep(self, name: str, seconds: float) -> Talk[None]:
        """End the run, unless the sleep is over."""
        answer = yield from self._ask(
            Question(Ask.SLEEP, name, seconds=length(seconds, "the length of sleep"))
        )
        if answer.state is State.OPEN:
            self._pause_for(StepPause(answer.seconds or 0.0, f"sleeps in step {name!r}"))
        self.channel.moved()

    def wait_for(self, name: str, timeout: float | None, decode: Callable[[bytes], Any]) -> Talk[Any]:
        """Return the value of a signal, or end the run until it comes."""
        seconds = None if timeout is None else length(timeout, "the timeout of wait_for")
        answer = yield from self._ask(Question(Ask.WAIT, name, seconds=seconds))
        self.channel.moved()
        if answer.state is State.OPEN:
            left = MAX_DELAY if answer.seconds is None else answer.seconds
            self._pause_for(StepPause(left, f"waits for the signal {name!r}", signals=(name,)))
        if answer.state is State.EXPIRED:
            within = "" if seconds is None else f" within {seconds:g}s"
            raise SignalTimeout(f"the signal {name!r} has not come{within}")
        return decode(answer.value)

    def _pause_for(self, pause: StepPause) -> NoReturn:
        """End the run; of several pauses side by side, the first one to end ends all of them."""
        self.pause = pause.again() if self.pause is None else self.pause.beside(pause)  # without its frames
        try:
            raise pause
        finally:
            del pause  # it holds this frame

    def _ask(self, question: Question) -> Talk[Answer]:
        self.check_open()
        answer = yield question
        self.check(answer, question.name)
        return answer

    def check(self, answer: Answer, name: str) -> None:
        """Raise what an answer says.

        Raises:
            TaskLost: the claim is gone.
            GoqueError: the database does not take the value.
        """
        if answer.state is State.LOST:
            self._is_lost = True
            self.check_open()
        if answer.state is State.REFUSED:
            raise GoqueError(f"the value of step {name!r} cannot be recorded: {answer.text}")
