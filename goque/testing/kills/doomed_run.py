"""A run in a forked process, which kills itself at one point of the run's steps."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, Final, NoReturn

import msgspec

from goque.errors import ConfigurationError
from goque.execution.error_texts import traceback_of
from goque.execution.inline import TaskRun
from goque.steps.pause import StepPause
from goque.steps.question import Answer, Ask, Question

RecordIn = Callable[[Any, Question], Any]
HANDLER_ENDED: Final = "after the handler had ended, before its end was recorded"


class Reached(msgspec.Struct, frozen=True, tag=True):
    """A run has come to a point.

    Attributes:
        point: where it is, such as `before step 'charge'`.
        is_last: whether the process kills itself there.
    """

    point: str
    is_last: bool


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A run asks about its steps."""

    question: Question


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A run has ended.

    Attributes:
        status: the status of its task now.
        waits: what it waits for; empty if it has ended.
        traceback: of what the handler raised; empty if it raised nothing, and if it waits.
        returned: the JSON text of what the handler returned.
        follow_ups: the types and the JSON texts of the payloads of the tasks that it left behind.
    """

    status: str
    waits: str = ""
    traceback: str = ""
    returned: bytes = b"null"
    follow_ups: tuple[tuple[str, bytes], ...] = ()


Told = Reached | Asked | Ended
TOLD: Final = msgspec.msgpack.Decoder(Told)
ANSWER: Final = msgspec.msgpack.Decoder(Answer)


class DoomedSteps:
    """The way of a run to its steps, which the parent process keeps.

    Args:
        pipe: the way to the parent.
        dies_at: the point at which the process kills itself, from 0; None lets it live.
        record_in: records a step in a transaction of the caller; None where there is no database.
    """

    is_async = False

    def __init__(self, pipe: Connection, dies_at: int | None, record_in: RecordIn | None) -> None:
        self._pipe = pipe
        self._dies_at = dies_at
        self._record_in = record_in
        self._points = 0
        self._running = ""
        self._lock = threading.Lock()  # a thread of the handler may report progress

    def reach(self, point: str) -> None:
        """Tell the parent which point comes now, and die if it is the one."""
        with self._lock:
            is_last = self._points == self._dies_at
            self._points += 1
            self.tell(Reached(point, is_last))
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, told: Told) -> None:
        """Send something to the parent."""
        self._pipe.send_bytes(msgspec.msgpack.encode(told))

    def ask(self, question: Question) -> Answer:
        """Ask the parent."""
        name = question.name
        if question.ask is Ask.RECORD:
            self.reach(f"after step {name!r}, before it was recorded")
        with self._lock:
            self.tell(Asked(question))
            answer = ANSWER.decode(self._pipe.recv_bytes())
        match question.ask:
            case Ask.RECORD:
                self.reach(f"after step {name!r} was recorded")
            case Ask.SLEEP:
                self.reach(f"in sleep {name!r}")
            case Ask.WAIT:
                self.reach(f"while it waited for the signal {name!r}")
        return answer

    def record_in(self, conn: Any, question: Question) -> Any:
        """Record a step in the caller's transaction; return the answer, or a coroutine of it."""
        if self._record_in is None:
            raise ConfigurationError(
                f"step {question.name!r} is recorded in your own transaction; give goque_kill_at_every_step the "
                "queue= of the database of that transaction"
            )
        self.reach(f"in the transaction of step {question.name!r}, before it was recorded there")
        answer = self._record_in(conn, question)
        if inspect.isawaitable(answer):
            return self._after(answer, question)
        self._reach_recorded_there(question)
        return answer

    async def _after(self, answer: Awaitable[Answer], question: Question) -> Answer:
        said = await answer
        self._reach_recorded_there(question)
        return said

    def _reach_recorded_there(self, question: Question) -> None:
        self.reach(f"in the transaction of step {question.name!r}, after it was recorded there")

    def note_step(self, names: str) -> None:
        """Come to the point before a step, if one begins."""
        before, self._running = self._running, names
        began = names if not before else names[len(before) + 2 :] if names.startswith(f"{before}, ") else ""
        if began:
            self.reach(f"before step {began!r}")

    def moved(self) -> None:
        """Note nothing."""

    def note_progress(self, fraction: float, note: str) -> None:
        """Come to the point of a progress."""
        self.reach(f"at progress {fraction:g} {note!r}" if note else f"at progress {fraction:g}")


def run_and_exit(run: Callable[[DoomedSteps], TaskRun], steps: DoomedSteps) -> NoReturn:
    """Run a handler in a process that was forked for it, tell its end, and leave: no code of the parent runs here."""
    try:
        try:
            ended = run(steps)
            steps.reach(HANDLER_ENDED)
            steps.tell(_told(ended))
        except BaseException as error:  # noqa: BLE001 - what ends a test must not go on in a copy of the test
            steps.tell(Ended("", traceback=traceback_of(error)))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(0)


def _told(run: TaskRun) -> Ended:
    waits = isinstance(run.error, StepPause)
    return Ended(
        status=run.status,
        waits=str(run.error) if waits else "",
        traceback="" if run.error is None or waits else traceback_of(run.error),
        returned=_json_of(run.returned),
        follow_ups=tuple((task.type, task.payload_bytes) for task in run.follow_ups),
    )


def _json_of(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError):
        return msgspec.json.encode(f"a {type(value).__qualname__}")  # its repr may have an address
