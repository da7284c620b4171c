"""The steps of a replay: recorded ones return their values, new ones are kept in memory, and no sleep is waited for."""

from __future__ import annotations

from goque.execution.inline_steps import MemorySteps
from goque.steps.question import Answer, Ask, Question, State


class ReplaySteps:
    """Answers a run about its steps.

    Args:
        kept: has the recorded values.
    """

    is_async = False

    def __init__(self, kept: MemorySteps) -> None:
        self._kept = kept
        self.record_in = kept.record_in
        self.note_progress = kept.note_progress
        self.note_step = kept.note_step
        self.moved = kept.moved

    def ask(self, question: Question) -> Answer:
        """Answer a question. A sleep is over at once."""
        if question.ask is Ask.SLEEP:
            return Answer(State.KNOWN)
        return self._kept.ask(question)
