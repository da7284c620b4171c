"""Records steps in the application's own transactions, through the queues of the app whose handlers run here."""

from __future__ import annotations

from typing import Any, Protocol

from goque.errors import GoqueError
from goque.steps.question import Answer, Question
from goque.task import Task
from goque.task_row import Token


class HasQueues(Protocol):
    """An app's registry, as far as steps need it; each process opens its managers at the first use."""

    @property
    def queue(self) -> Any:
        """The manager."""

    @property
    def async_queue(self) -> Any:
        """The manager for asyncio."""


_queues: HasQueues | None = None


def record_steps_through(queues: HasQueues | None) -> HasQueues | None:
    """Say whose queues record the steps of all handlers in this process; return whose did before."""
    global _queues
    before, _queues = _queues, queues
    return before


def record_in(conn: Any, task: Task, question: Question) -> Answer:
    """Record a step in the transaction of a connection."""
    answer: Answer = _ours().queue.record_step(_token(task), question, conn=conn)
    return answer


async def arecord_in(conn: Any, task: Task, question: Question) -> Answer:
    """Record a step in the transaction of a connection, which may be one of asyncio."""
    answer: Answer = await _ours().async_queue.record_step(_token(task), question, conn=conn)
    return answer


def _ours() -> HasQueues:
    if _queues is None:
        raise GoqueError(
            "a step with conn= needs the registry of its app; run the handler in a tree or with a queue"
        )
    return _queues


def _token(task: Task) -> Token:
    return Token(task.id, task.claims, task.claimed_by or "")
