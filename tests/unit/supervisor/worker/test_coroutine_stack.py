"""The stack of a coroutine: through everything that can be awaited, and those of its other asyncio tasks."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from goque import Task
from goque.context import task_context, task_in
from goque_supervisor.worker.coroutine_stack import (
    MAX_FRAMES,
    _context_of,
    frames_of,
    stack_of_handler,
    write_stack,
)


async def leaf() -> None:
    await asyncio.get_running_loop().create_future()


async def through_coroutines() -> None:
    await leaf()


async def generated() -> AsyncIterator[int]:
    await leaf()
    yield 1


async def through_async_for() -> None:
    async for _ in generated():
        pass


async def through_anext() -> None:
    await anext(generated())


@contextlib.asynccontextmanager
async def managed() -> AsyncIterator[None]:
    await leaf()
    yield


async def through_async_with() -> None:
    async with managed():
        pass


class Awaited:
    def __await__(self) -> Generator[Any, None, None]:
        return leaf().__await__()


async def through_an_object() -> None:
    await Awaited()


@types.coroutine
def old_style() -> Generator[Any, None, None]:
    yield from leaf().__await__()


async def through_a_generator() -> None:
    await old_style()


async def through_wait_for() -> None:
    await asyncio.wait_for(leaf(), 60)


async def deep(level: int = 150) -> None:
    await (deep(level - 1) if level else leaf())


def look_at(handler: Callable[[], Awaitable[None]], look: Callable[[asyncio.Task[None]], Any]) -> Any:
    """Run a handler until it waits, return what `look` returns then, and end it."""

    async def run() -> Any:
        with task_context(Task("type", {})):
            task = asyncio.ensure_future(handler())
        await asyncio.sleep(0.01)
        try:
            return look(task)  # type: ignore[arg-type]  # ensure_future makes an asyncio.Task of a coroutine
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("handler", "between"),
    [
        (leaf, None),
        (through_coroutines, []),
        (through_async_for, ["generated"]),
        (through_anext, ["generated"]),
        (through_async_with, ["_AsyncGeneratorContextManager.__aenter__", "managed"]),
        (through_an_object, []),
        (through_a_generator, ["old_style"]),
    ],
)
def test_a_stack_goes_down_to_the_last_await(handler: Any, between: list[str] | None) -> None:
    found = look_at(handler, lambda task: frames_of(task.get_coro()))
    names = [frame.function for frame in found]
    assert names == (["leaf"] if between is None else [handler.__name__, *between, "leaf"])
    assert {frame.file for frame in found} >= {__file__}
    assert all(frame.line > 0 for frame in found)


def test_a_very_deep_stack_is_cut() -> None:
    assert len(look_at(deep, lambda task: frames_of(task.get_coro()))) == MAX_FRAMES


def own_id(task: asyncio.Task[Any]) -> str:
    """Return the id of the goque task in whose context an asyncio task runs."""
    context = _context_of(task)
    assert context is not None
    found = task_in(context)
    assert found is not None
    return found.id


async def in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(leaf())


async def gathered() -> None:
    await asyncio.gather(leaf(), through_coroutines())


async def in_many() -> None:
    await asyncio.gather(*(leaf() for _ in range(50)))


@pytest.mark.parametrize(
    ("handler", "outermost"),
    [
        (in_a_group, ["leaf"] * 3),
        (gathered, ["leaf", "through_coroutines"]),
        (through_wait_for, ["leaf"]),
        (in_many, ["leaf"] * 10),
        (leaf, []),
    ],
)
def test_the_other_asyncio_tasks_of_a_handler_are_shown(handler: Any, outermost: list[str]) -> None:
    shown = look_at(handler, lambda task: stack_of_handler(task, own_id(task)))
    found = sorted(stack[0].function for stack in shown.asyncio_tasks)
    # wait_for awaits its coroutine itself since Python 3.12
    assert found == outermost or (handler is through_wait_for and shown.frames[-1].function == "leaf")


def test_asyncio_tasks_of_others_are_left_out() -> None:
    shown = look_at(in_a_group, lambda task: stack_of_handler(task, "another task"))
    assert shown.asyncio_tasks == ()


def test_the_last_stack_is_written_as_the_interpreter_writes_stacks(tmp_path: Path) -> None:
    path = tmp_path / "worker.stack"
    path.write_text("before\n")
    look_at(through_coroutines, lambda task: write_stack(path, task, "task-1"))
    before, title, first, second = path.read_text().splitlines()
    assert (before, title) == ("before", "Coroutine of task task-1 (most recent call first):")
    assert first.startswith(f'  File "{__file__}", line ')
    assert (first.split()[-1], second.split()[-1]) == ("leaf", "through_coroutines")
