"""The stack of a running task, as `queue.stack` returns it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from goque.stacks.answer import Source
from goque.stacks.frames import Frame, frame_lines

TITLES: Final = {
    "thread": "the stack of its thread",
    "coroutine": "the stack of its coroutine",
    "loop": "the stack of the event loop's thread",
}


class TaskStack(msgspec.Struct, frozen=True):
    """The Python stack of a running task; `str()` prints it as a traceback.

    Attributes:
        task_id: the task.
        type: its type.
        attempt: the number of the attempt that runs.
        node: the name of the node that runs it.
        host: the machine of the node.
        worker_pid: the process that runs the handler.
        seconds: for how long the handler has been running.
        step: the steps that run now, empty for none.
        source: `thread` for a `def` handler; `coroutine` for an `async def` handler; `loop` if the event loop of an
            `async def` handler did not answer. Then it is the stack of the loop's thread, perhaps of another task.
        frames: the calls, the outermost first.
        asyncio_tasks: the stacks of the other asyncio tasks that an `async def` handler has started, at most ten.
        note: what else to know about it, in a sentence; empty for nothing.
    """

    task_id: str
    type: str
    attempt: int
    node: str
    host: str
    worker_pid: int
    seconds: float
    step: str
    source: Source
    frames: tuple[Frame, ...]
    asyncio_tasks: tuple[tuple[Frame, ...], ...] = ()
    note: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text."""
        step = f" in step {self.step}" if self.step else ""
        yield f"task {self.task_id} ({self.type}), attempt {self.attempt}, running for {self.seconds:.1f} s{step}"
        yield f"node {self.node} on {self.host}, worker pid {self.worker_pid}"
        if self.note:
            yield self.note
        yield f"{TITLES[self.source]}, most recent call last:"
        yield from frame_lines(self.frames)
        for frames in self.asyncio_tasks:
            yield "another asyncio task of it:"
            yield from frame_lines(frames)
