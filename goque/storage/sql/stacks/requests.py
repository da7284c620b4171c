"""Requests for the stacks of running tasks, on their way to the node and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from goque.storage.contract import ClaimNews, StackRequest
from goque.storage.sql.call_policy import PATIENT_WRITE, PINNED_READ, READ, WRITE
from goque.storage.sql.runner import SqlRunner
from goque.storage.sql.session import Session
from goque.storage.sql.steps import run_steps
from goque.task_row import Token

KEPT: Final = 60.0
"""Seconds after which a request is deleted that nobody waits for: its process ended before it could delete it."""


class SqlStacks(SqlRunner):
    """The part of the contract about stacks."""

    def claim_news(self, owner: str, task_type: str | None = None) -> ClaimNews:
        """Return what others have written about the claims of an owner, of a type or of all, in one statement."""
        params = {"owner": owner, "task_type": task_type}
        rows = self._run(lambda session: session.rows(self._sql.changed_by_others, params), PINNED_READ)
        text = self._dialect.read_text
        return ClaimNews(
            [Token(text(task_id), claims, owner) for task_id, claims, request in rows if request is None],
            [
                StackRequest(text(request), text(task_id))
                for task_id, _, request in rows
                if request is not None
            ],
        )

    def ask_for_stack(self, request: StackRequest, *, task_type: str, owner: str) -> None:
        """Ask the owner of a claim for the stack of its task; the fetchers of the type are woken up."""
        params = {"id": request.id, "task_id": request.task_id, "owner": owner}

        def ask(session: Session) -> None:
            session.run(self._sql.stacks.delete_old, {"age": KEPT})
            session.run(self._sql.stacks.forget, {"id": request.id})  # an earlier try whose answer was lost
            session.run(self._sql.stacks.ask, params)
            run_steps(session, self._dialect.announce({task_type}))

        self._run(ask, PATIENT_WRITE)
        self._dialect.nudge({task_type})

    def answer_stacks(self, answers: Sequence[tuple[str, str]]) -> None:
        """Write answers, each with the id of its request; a request that is gone or answered stays as it is."""

        def write(session: Session) -> None:
            for request_id, text in answers:
                session.run(self._sql.stacks.answer, {"id": request_id, "answer": text})

        self._run(write, WRITE)

    def stack_answer(self, request_id: str) -> str | None:
        """Return the answer to a request, None while there is none."""
        rows = self._run(lambda session: session.rows(self._sql.stacks.read_answer, {"id": request_id}), READ)
        return self._dialect.read_optional_text(rows[0][0]) if rows else None

    def forget_stack_request(self, request_id: str) -> None:
        """Delete a request and its answer."""
        self._run(lambda session: session.run(self._sql.stacks.forget, {"id": request_id}), PATIENT_WRITE)
