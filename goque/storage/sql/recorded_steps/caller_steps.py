"""Record a step and keep a signal, as steps on one session; it may be the caller's, and asyncio."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from goque.errors import TaskNotFoundError, TaskStateError
from goque.steps.question import Answer, Question, State
from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.recorded_steps.decisions import KNOWN, LOST, refusal
from goque.storage.sql.steps import Steps
from goque.task_row import HAS_STEPS, TERMINAL_STATUSES, Token

ReadOutside = Callable[[Callable[[], Steps[bool]]], bool]


class Kept(NamedTuple):
    """What became of a signal.

    Attributes:
        is_new: whether it is kept; else there was one of that name.
        woken: the type of the task, if that waited for it; else None.
    """

    is_new: bool
    woken: str | None = None


class CallerStepRecords:
    """The statements of each call in their order, for one dialect.

    Args:
        dialect: the dialect.
        read_outside: runs steps that read, on a connection of goque's own.
    """

    def __init__(self, dialect: Dialect, read_outside: ReadOutside) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.recorded_steps
        self._read_outside = read_outside

    def record(self, token: Token, question: Question) -> Steps[Answer]:
        """Record a step if the claim holds, without a lock on the task: the primary key is the fence.

        The snapshot of the caller's transaction may be older than the claim. So a claim that is not seen there is
        looked for once more outside of it.
        """
        why = refusal(question, self._dialect.largest_batch // 2)
        if why:
            return Answer(State.REFUSED, text=why)
        is_held = yield from self._is_held(token)
        if not is_held:
            is_held = yield steps.outside(lambda: self._read_outside(lambda: self._is_held(token)))
        if not is_held:
            return LOST
        params = {
            "task_id": token.task_id,
            "kind": "step",
            "name": question.name,
            "value": question.value.decode(),
            "claims": token.claims,
            "duration": max(0.0, question.duration),
        }
        return KNOWN if (yield steps.run(self._sql.insert_one, params)) else LOST

    def _is_held(self, token: Token) -> Steps[bool]:
        params = {"id": token.task_id, "claims": token.claims, "owner": token.owner or None}
        return bool((yield steps.rows(self._sql.is_held, params)))

    def signal(self, task_id: str, name: str, value: bytes, tried_at: list[datetime]) -> Steps[Kept]:
        """Keep a signal, and let the task be due now if it waits for that.

        Args:
            task_id: the task.
            name: the name of the signal.
            value: its JSON text.
            tried_at: when earlier tries of this call kept it, whose answer was lost; this try adds its own.
        """
        rows = []
        if self._dialect.is_task_id(task_id):
            rows = yield steps.rows(self._dialect.sql.lock_task, {"id": task_id})
        if not rows:
            raise TaskNotFoundError(task_id)
        row = self._dialect.read_task(rows[0])
        if row.status in TERMINAL_STATUSES:
            raise TaskStateError(f"task {task_id} is {row.status}: it no longer waits for signals")
        text = value.decode()
        params = {
            "task_id": row.id,
            "kind": "signal",
            "name": name,
            "value": text,
            "claims": 0,
            "duration": None,
        }
        if not (yield steps.run(self._sql.insert_one, params)):
            return Kept((yield from self._was_kept_by_earlier_try(task_id, name, text, tried_at)))
        tried_at.append((yield steps.NOW))
        if not (row.flags or 0) & HAS_STEPS:
            yield steps.run(self._sql.mark, {"ids": self._dialect.encode_list([row.id])})
        woken: dict[str, Any] = {"id": task_id, "name": name}
        if not (yield steps.run(self._sql.wake, woken)):
            return Kept(is_new=True)
        yield from self._dialect.announce({row.type})
        return Kept(is_new=True, woken=row.type)

    def _was_kept_by_earlier_try(
        self, task_id: str, name: str, text: str, tried_at: list[datetime]
    ) -> Steps[bool]:
        if not tried_at:
            return False
        rows = yield steps.rows(self._sql.signal, {"id": task_id, "name": name})
        return any(
            self._dialect.read_text(value) == text and self._dialect.read_time(made_at) in tried_at
            for value, made_at in rows
        )
