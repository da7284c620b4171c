"""The questions of handlers about their steps, until the fetcher has answered them.

A message may be lost with a fetcher that dies, so a question without an answer is asked again each second. The second
time changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from goque.steps.question import Answer, Question
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Answered, Asking
from goque_supervisor.ipc.sockets import WorkerSocket

ASK_AGAIN: Final = 1.0
"""Seconds after which a question is asked again."""


@dataclass(slots=True)
class _Open:
    message: bytes
    asked_at: float
    on_answer: Callable[[Answer], None]


class Questions:
    """The open questions of one worker.

    Args:
        socket: the socket to the fetcher.
    """

    def __init__(self, socket: WorkerSocket) -> None:
        self._socket = socket
        self._open: dict[int, _Open] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, seq: int, question: Question, on_answer: Callable[[Answer], None]) -> int:
        """Ask a question of a job; returns its number."""
        self._count += 1
        message = messages.encode(Asking(self._count, seq, question))
        self._open[self._count] = _Open(message, time.monotonic(), on_answer)
        reached("step.before_send")
        self._socket.send(message)
        reached("step.after_send")
        return self._count

    def take(self, answers: Iterable[Answered]) -> None:
        """Hand answers to those who wait; one that nobody waits for any more is dropped, for it changes nothing."""
        for answered in answers:
            waiting = self._open.pop(answered.number, None)
            if waiting is not None:
                waiting.on_answer(answered.answer)

    def forget(self, number: int) -> None:
        """Ask a question no more: its handler does not wait any longer."""
        self._open.pop(number, None)

    def ask_again(self, now: float) -> None:
        """Ask those questions again that have no answer for long."""
        for waiting in self._open.values():
            if now - waiting.asked_at >= ASK_AGAIN:
                waiting.asked_at = now
                self._socket.send(waiting.message)
