"""What a node answers to a request for a stack: JSON text in the table."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

import msgspec

from goque.stacks.frames import Frame

MAX_ASYNCIO_TASKS: Final = 10
"""How many asyncio tasks of a handler are shown."""

Source = Literal["thread", "coroutine", "loop"]


class StackState(StrEnum):
    """What came of a request on the node."""

    TAKEN = "taken"
    NOT_RUNNING = "not_running"
    SILENT = "silent"


class StackAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of the node.

    Attributes:
        state: whether there is a stack, and else why there is none.
        worker_pid: the process that runs the handler, 0 if none does.
        seconds: for how long the handler has been running.
        step: the steps that run now, empty for none.
        source: whose stack it is; see TaskStack.
        frames: the calls, the outermost first.
        asyncio_tasks: the stacks of other asyncio tasks of the handler, at most `MAX_ASYNCIO_TASKS`.
        note: what else to know about it, in a sentence.
    """

    state: StackState
    worker_pid: int = 0
    seconds: float = 0.0
    step: str = ""
    source: Source = "thread"
    frames: tuple[Frame, ...] = ()
    asyncio_tasks: tuple[tuple[Frame, ...], ...] = ()
    note: str = ""


def encode_answer(answer: StackAnswer) -> str:
    """Encode an answer for the table."""
    return msgspec.json.encode(answer).decode()


def decode_answer(text: str) -> StackAnswer:
    """Decode the text of `encode_answer`.

    Raises:
        msgspec.MsgspecError: another program has written it.
    """
    return msgspec.json.decode(text, type=StackAnswer)
