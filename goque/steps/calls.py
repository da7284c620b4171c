"""What a handler calls on its task: steps, sleeps, signals and progress."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, cast, overload

from goque.errors import ConfigurationError, GoqueError
from goque.steps.awaited_calls import AwaitedCalls
from goque.steps.question import MAX_NAME, Progress
from goque.steps.run import StepRun, Talk
from goque.steps.running import decoder_for, take_item
from goque.steps.value import decoder_of

P = ParamSpec("P")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class HandlerCalls(AwaitedCalls):
    """The calls of a task that only the handler which runs it may make.

    A step is recorded in the table with its value before the call returns. If the attempt ends early, by a crash too,
    the next one is given the values of recorded steps, and runs the others.
    """

    __slots__ = ()

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        type: Any,
        conn: Any = ...,
        **kwargs: Any,
    ) -> Any: ...
    @overload
    def step(
        self, name: str, function: Callable[..., ResultT], /, *args: Any, conn: Any, **kwargs: Any
    ) -> ResultT: ...
    @overload
    def step(
        self, name: str, function: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT: ...
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        conn: Any = None,
        type: Any = None,  # noqa: A002 - the word of `msgspec.json.decode(…, type=…)`
        **kwargs: Any,
    ) -> Any:
        """Call a function once for this task, in all of its attempts together, and return its value.

        Args:
            name: the step's name, up to 200 characters, which no other step of the run has.
            function: called with the other arguments. Its value is stored as JSON and decoded by the return annotation.
            args: its arguments.
            conn: a connection of the application, in whose transaction the step is recorded: both commit, or neither.
                The function does not get it.
            type: the type as which the value is decoded, instead of the annotation.
            kwargs: its other keywords.

        Raises:
            GoqueError: no handler runs this task here, or the run has a step of this name.
            ConfigurationError: the name is wrong, or no JSON text decodes to the type.
            PayloadEncodeError, InvalidPayloadFormatError: the value cannot be JSON, or is larger than `max_result`.
            TaskLost: this run has lost its claim.
            Exception: what the function raises; the step is not recorded then.
        """
        run = self._steps_of_def_handler("astep")
        decode = decoder_for(run, name, function, type)
        raw = _talk(run, run.recorded(name, in_transaction=conn is not None))
        if raw is not None:
            return decode(raw)
        began = run.begin(name)
        try:
            value = _not_awaitable(name, function(*args, **kwargs))
            question = run.question(name, value, began)
            kept = decode(question.value)  # before it is recorded: a later run could not read it either
            if conn is None:
                _talk(run, run.record(question))
            else:
                run.check(run.channel.record_in(conn, question), name)
                run.note_recorded(question)
        except BaseException:
            run.fail(name)
            raise
        run.end(name)
        return kept

    def each(self, name: str, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield the items that no earlier attempt has done; each is recorded when the loop asks for the next.

        The items must be the same in each attempt. Their steps are `NAME-0`, `NAME-1` and so on.

        Raises:
            GoqueError, ConfigurationError, TaskLost: as of `step`.
        """
        run = self._steps_of_def_handler("aeach")
        run.take(name)
        for index, item in enumerate(items):
            one = take_item(run, name, index)
            if _talk(run, run.recorded(one)) is not None:
                continue
            began = run.begin(one)
            try:
                yield item
                _talk(run, run.record(run.question(one, None, began)))
            finally:
                run.end(one)

    def sleep(self, name: str, seconds: float | timedelta) -> None:
        """Return when the sleep is over; until then the attempt ends, uncharged, and no process waits.

        Args:
            name: the step's name.
            seconds: how long after the first call.

        Raises:
            GoqueError, ConfigurationError, TaskLost: as of `step`.
        """
        run = self._steps_of_def_handler("asleep")
        run.take(name, pauses=True)
        _talk(run, run.sleep(name, cast("float", seconds)))

    def wait_for(
        self,
        name: str,
        timeout: float | timedelta | None = None,
        *,
        type: Any = None,  # noqa: A002 - as of `step`
    ) -> Any:
        """Return the value of `queue.signal(task_id, name, value)`; until it comes the attempt ends, uncharged.

        Args:
            name: the signal's name.
            timeout: seconds from the first call; None waits without end.
            type: the type as which the value is decoded; plain JSON without it.

        Raises:
            SignalTimeout: the timeout has passed; in later attempts as well, even if the signal has come then.
            GoqueError, ConfigurationError, TaskLost: as of `step`.
        """
        run = self._steps_of_def_handler("await_signal")
        run.take(name, "the name of a signal", pauses=True)
        return _talk(run, run.wait_for(name, cast("float", timeout), decoder_of(f"signal {name!r}", type)))

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the run is, for `goque show`, `goque top` and the dashboard; also in `async def` handlers.

        It is written at most once a second. It puts off the end of `stall_timeout`.

        Args:
            fraction: 0 to 1.
            note: what the run does now; of longer ones the first 200 characters are kept.

        Raises:
            GoqueError: no handler runs this task here.
            ConfigurationError: the fraction is no number from 0 to 1, or the note is no text.
        """
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise ConfigurationError(
                f"the fraction of progress must be a number from 0 to 1, not {fraction!r:.80}"
            )
        if not isinstance(note, str):
            raise ConfigurationError(f"the note of progress must be a text, not {note!r:.80}")
        run = self.steps_of_run()
        run.check_open()
        clean = note[:MAX_NAME].encode("utf-8", "replace").decode().replace("\0", "")
        run.progress = Progress(float(fraction), clean)
        run.channel.note_progress(run.progress.fraction, clean)

    def _steps_of_def_handler(self, other: str) -> StepRun:
        run = self.steps_of_run()
        if run.channel.is_async:
            raise GoqueError(f"this handler is async def; await task.{other}(…) instead")
        return run


def _not_awaitable(name: str, value: Any) -> Any:
    """Return what a function has returned, unless it is a coroutine that nobody awaits."""
    if inspect.iscoroutine(value):
        value.close()
        raise ConfigurationError(f"step {name!r} is a coroutine function; call it in an async def handler")
    return value


def _talk(run: StepRun, talk: Talk[ResultT]) -> ResultT:
    try:
        question = next(talk)
        while True:
            question = talk.send(run.channel.ask(question))
    except StopIteration as end:
        result: ResultT = end.value
        return result
