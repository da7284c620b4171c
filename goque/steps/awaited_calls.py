"""What an `async def` handler calls on its task."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, cast, overload

from goque.errors import GoqueError
from goque.steps.run import StepRun, Talk
from goque.steps.running import RunsSteps, decoder_for, take_item
from goque.steps.value import decoder_of

P = ParamSpec("P")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class AwaitedCalls(RunsSteps):
    """The calls of an `async def` handler; `HandlerCalls` explains them."""

    __slots__ = ()

    @overload
    async def astep(
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
    async def astep(
        self, name: str, function: Callable[..., Awaitable[ResultT]], /, *args: Any, conn: Any, **kwargs: Any
    ) -> ResultT: ...
    @overload
    async def astep(
        self, name: str, function: Callable[..., ResultT], /, *args: Any, conn: Any, **kwargs: Any
    ) -> ResultT: ...
    @overload
    async def astep(
        self, name: str, function: Callable[P, Awaitable[ResultT]], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT: ...
    @overload
    async def astep(
        self, name: str, function: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT: ...
    async def astep(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        conn: Any = None,
        type: Any = None,  # noqa: A002 - as of `step`
        **kwargs: Any,
    ) -> Any:
        """Do what `step` does, in an `async def` handler; the function may be a coroutine function."""
        run = self._steps_of_async_handler()
        decode = decoder_for(run, name, function, type)
        raw = await _atalk(run, run.recorded(name, in_transaction=conn is not None))
        if raw is not None:
            return decode(raw)
        began = run.begin(name)
        try:
            with run.calls.one():
                value: Any = function(*args, **kwargs)
                if inspect.isawaitable(value):
                    value = await value
                question = run.question(name, value, began)
                kept = decode(question.value)
                if conn is None:
                    await _atalk(run, run.record(question))
                else:
                    run.check(await run.channel.record_in(conn, question), name)
                    run.note_recorded(question)
        except BaseException:
            run.fail(name)
            raise
        run.end(name)
        return kept

    async def aeach(self, name: str, items: Iterable[ItemT] | AsyncIterable[ItemT]) -> AsyncIterator[ItemT]:
        """Do what `each` does, in an `async def` handler; the items may come from an async iterator."""
        run = self._steps_of_async_handler()
        run.take(name)
        index = -1
        async for item in _aiter(items):
            index += 1
            one = take_item(run, name, index)
            if await _atalk(run, run.recorded(one)) is not None:
                continue
            began = run.begin(one)
            try:
                yield item
                await _atalk(run, run.record(run.question(one, None, began)))
            finally:
                run.end(one)

    async def asleep(self, name: str, seconds: float | timedelta) -> None:
        """Do what `sleep` does, in an `async def` handler."""
        run = self._steps_of_async_handler()
        run.take(name, pauses=True)
        await _atalk(run, run.sleep(name, cast("float", seconds)))

    async def await_signal(
        self,
        name: str,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - a deadline in the table
        *,
        type: Any = None,  # noqa: A002 - as of `step`
    ) -> Any:
        """Do what `wait_for` does, in an `async def` handler."""
        run = self._steps_of_async_handler()
        run.take(name, "the name of a signal", pauses=True)
        return await _atalk(
            run, run.wait_for(name, cast("float", timeout), decoder_of(f"signal {name!r}", type))
        )

    def _steps_of_async_handler(self) -> StepRun:
        run = self.steps_of_run()
        if not run.channel.is_async:
            raise GoqueError("this handler is def; call step, each, sleep or wait_for instead")
        return run


async def _atalk(run: StepRun, talk: Talk[ResultT]) -> ResultT:
    try:
        question = next(talk)
        while True:
            question = talk.send(await run.channel.ask(question))
    except StopIteration as end:
        result: ResultT = end.value
        return result


async def _aiter(items: Iterable[ItemT] | AsyncIterable[ItemT]) -> AsyncIterator[ItemT]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
