"""The messages between fetchers and workers over ZeroMQ: frozen msgspec structs, encoded as msgpack.

A fetcher numbers its jobs: `seq` is `epoch << 32 | count`. Each fetcher of a type has a higher epoch than the one
before. So a number identifies one dispatch of one task, and is never used again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from goque.outcome import Outcome, OutcomeKind
from goque.stacks.frames import Frame
from goque.steps.question import Answer, Question
from goque.task_row import TaskRow

EPOCH_BITS: Final = 32


class Job(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One claimed task to run."""

    seq: int
    row: TaskRow


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a worker's question of this number."""

    number: int
    answer: Answer


class StackAsked(msgspec.Struct, frozen=True, array_like=True):
    """The stack of the coroutine of this job is wanted; `number` is the fetcher's own."""

    number: int
    seq: int


class Jobs(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Fetcher to worker: run these jobs, forget these committed outcomes, take these answers, show these stacks."""

    jobs: list[Job]
    acknowledged: list[int]
    answers: list[Answered] = []
    stacks: list[StackAsked] = []


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Worker to fetcher: this incarnation has booted and takes jobs."""

    incarnation: int


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How one job ended."""

    seq: int
    outcome: Outcome


class Results(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Worker to fetcher: jobs that have ended."""

    results: list[Result]


class Retiring(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Worker to fetcher: this process has reached a limit of its own and starts no more jobs."""

    reason: str


class Asking(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Worker to fetcher: a question about the steps of a running job; `number` is the worker's own."""

    number: int
    seq: int
    question: Question


class StackShown(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Worker to fetcher: the stack of a coroutine, and those of the other asyncio tasks of its handler."""

    number: int
    frames: tuple[Frame, ...]
    asyncio_tasks: tuple[tuple[Frame, ...], ...] = ()


FromWorker = Hello | Results | Retiring | Asking | StackShown
encode = msgspec.msgpack.Encoder().encode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_jobs = msgspec.msgpack.Decoder(Jobs).decode
_decode_any = msgspec.msgpack.Decoder().decode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


def decode_each_job(data: bytes) -> tuple[Jobs, list[Result]]:
    """Decode the message of a fetcher. If a job cannot be decoded, it becomes a failed attempt; the others remain."""
    try:
        return decode_jobs(data), []
    except (msgspec.MsgspecError, ValueError):
        _tag, jobs, acknowledged, answers, stacks = _decode_any(data)
    decoded: list[Job] = []
    refused: list[Result] = []
    for seq, row in jobs:
        try:
            decoded.append(Job(seq, msgspec.convert(row, TaskRow)))
        except (msgspec.MsgspecError, ValueError) as error:
            text = f"the worker cannot decode this task's row: {error}"
            refused.append(Result(seq, Outcome(OutcomeKind.FAILED, text, undecodable=True)))
    answered = msgspec.convert(answers, list[Answered])
    return Jobs(decoded, acknowledged, answered, msgspec.convert(stacks, list[StackAsked])), refused
