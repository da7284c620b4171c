"""Answer the questions of handlers about their steps: those of all workers in one transaction, then all answers.

A question that cannot be answered because the database does not answer stays here. Its worker asks it again meanwhile,
which replaces it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from goque.steps.question import Answer, Ask, State
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.ipc.messages import Answered, Asking, Jobs
from goque_supervisor.ipc.sockets import FetcherSocket

MOST: Final = 500
"""How many questions one transaction answers."""

LOST: Final = Answer(State.LOST)


@dataclass(frozen=True, slots=True)
class _Open:
    worker: WorkerHandle
    asking: Asking

    @property
    def task(self) -> ClaimedTask | None:
        return self.worker.jobs.get(self.asking.seq)


class StepAnswers:
    """The open questions of the workers of one pool.

    Args:
        database: the fetcher's database.
        living: returns the living worker of a number, None if it has ended.
        on_recorded: is told the type, the name and the seconds of each step that is committed.
    """

    def __init__(
        self,
        database: TaskDatabase,
        living: Callable[[int], WorkerHandle | None],
        on_recorded: Callable[[str, str, float], None] = lambda _type, _name, _seconds: None,
    ) -> None:
        self._database = database
        self._living = living
        self._on_recorded = on_recorded
        self._open: dict[tuple[int, int], _Open] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, worker: WorkerHandle, asking: Asking) -> None:
        """Take a question, which may be here already."""
        self._open[worker.incarnation, asking.number] = _Open(worker, asking)

    def answer(self, socket: FetcherSocket) -> bool:
        """Answer what can be answered; returns whether anything was written."""
        if not self._open or self._database.is_away(time.monotonic()):
            return False
        self._open = {key: one for key, one in self._open.items() if self._is_alive(one)}
        batch = list(self._open)[:MOST]
        held = [(self._open[key], task) for key in batch if (task := self._open[key].task) is not None]
        reached("step.before_commit")
        answers = self._database.answer_steps([(task.row.token, one.asking.question) for one, task in held])
        if answers is None:
            return False
        reached("step.after_commit")
        for (one, task), answer in zip(held, answers, strict=True):
            question = one.asking.question
            if question.ask is Ask.RECORD and answer.state is State.KNOWN:
                self._on_recorded(task.row.type, question.name, question.duration)
        by_task = {id(one): answer for (one, _task), answer in zip(held, answers, strict=True)}
        of_worker: dict[WorkerHandle, list[Answered]] = {}
        for key in batch:
            one = self._open.pop(key)
            answered = Answered(one.asking.number, by_task.get(id(one), LOST))
            of_worker.setdefault(one.worker, []).append(answered)
        for worker, found in of_worker.items():
            # A worker that cannot be reached now asks again.
            if socket.send(worker.identity, messages.encode(Jobs([], worker.acknowledged, found))):
                worker.acknowledged = []
        reached("step.after_answer")
        return any(one.asking.question.ask is not Ask.READ for one, _task in held)

    def _is_alive(self, one: _Open) -> bool:
        return self._living(one.worker.incarnation) is one.worker
