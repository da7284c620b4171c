"""The stack of a handler that is a coroutine: what it awaits, down to the future or the sleep at the end.

It is read on the event loop, so that no coroutine moves meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Iterable, Iterator
from contextvars import Context
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

from goque.context import task_in
from goque.stacks.answer import MAX_ASYNCIO_TASKS
from goque.stacks.frames import MAX_FRAMES, Frame, frames_of_handler

MAX_LINKS: Final = 4 * MAX_FRAMES
"""How many awaited objects are followed; some of them have no frame."""


class HandlerStack(NamedTuple):
    """The stack of a handler's coroutine, and those of its other asyncio tasks."""

    frames: tuple[Frame, ...]
    asyncio_tasks: tuple[tuple[Frame, ...], ...]


def stack_of_handler(handler: asyncio.Task[Any], task_id: str) -> HandlerStack:
    """Return the stack of a handler that waits on this loop.

    Args:
        handler: its asyncio task.
        task_id: its goque task, which its other asyncio tasks have in their context.
    """
    frames = frames_of_handler(frames_of(handler.get_coro()))
    others = dict.fromkeys((*_awaited_tasks(handler), *_tasks_in_context(handler, task_id)))
    stacks = [tuple(frames_of(other.get_coro())) for other in list(others)[:MAX_ASYNCIO_TASKS]]
    return HandlerStack(tuple(frames), tuple(stack for stack in stacks if stack))


def write_stack(path: Path, handler: asyncio.Task[Any], task_id: str) -> None:
    """Append the stack of a handler to a file, in the form in which the interpreter writes stacks."""
    frames = stack_of_handler(handler, task_id).frames
    lines = [f'  File "{frame.file}", line {frame.line} in {frame.function}' for frame in reversed(frames)]
    text = "\n".join([f"Coroutine of task {task_id} (most recent call first):", *lines, ""])
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(descriptor)


def frames_of(awaitable: Any) -> list[Frame]:
    """Return the frames of a coroutine and of all that it awaits, the outermost first, at most `MAX_FRAMES`."""
    frames: list[Frame] = []
    for link in _links_of(awaitable):
        frame, name = _frame_of(link)
        if frame is not None and len(frames) < MAX_FRAMES:
            frames.append(Frame(frame.f_code.co_filename, frame.f_lineno or 0, name))
    return frames


def _links_of(awaitable: Any) -> Iterator[Any]:
    """Yield a coroutine, what it awaits, what that awaits, and so on, without the future at the end."""
    link = awaitable
    for _ in range(MAX_LINKS):
        if link is None or isinstance(link, asyncio.Future):
            return
        yield link
        link = _awaited_by(link)


def _awaited_by(link: Any) -> Any:
    if inspect.iscoroutine(link):
        return link.cr_await
    if inspect.isasyncgen(link):
        return link.ag_await
    if inspect.isgenerator(link):
        return link.gi_yieldfrom
    # An iterator of the interpreter, such as that of `async for`, has no attribute for what it drives.
    return next((held for held in gc.get_referents(link) if _is_link(held)), None)


def _is_link(held: Any) -> bool:
    return inspect.iscoroutine(held) or inspect.isasyncgen(held) or inspect.isgenerator(held)


def _frame_of(link: Any) -> tuple[FrameType | None, str]:
    if inspect.iscoroutine(link):
        return link.cr_frame, link.__qualname__
    if inspect.isasyncgen(link):
        return link.ag_frame, link.__qualname__
    if inspect.isgenerator(link):
        return link.gi_frame, link.__qualname__
    return None, ""


def _awaited_tasks(handler: asyncio.Task[Any]) -> Iterator[asyncio.Task[Any]]:
    """Yield the asyncio tasks that a handler awaits itself, or through `asyncio.gather`."""
    waiter = getattr(handler, "_fut_waiter", None)
    awaited: Iterable[Any] = (waiter, *getattr(waiter, "_children", ()))
    for one in awaited:
        if isinstance(one, asyncio.Task) and not one.done():
            yield one


def _tasks_in_context(handler: asyncio.Task[Any], task_id: str) -> Iterator[asyncio.Task[Any]]:
    """Yield the other asyncio tasks of the loop that a handler has started."""
    for one in asyncio.all_tasks():
        context = None if one is handler else _context_of(one)
        task = None if context is None else task_in(context)
        if task is not None and task.id == task_id:
            yield one


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    """Return the context of an asyncio task; before Python 3.12 it has no method for that."""
    return next((held for held in gc.get_referents(task) if isinstance(held, Context)), None)
