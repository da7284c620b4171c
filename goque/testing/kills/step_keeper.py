"""Keeps the steps of runs that are killed: in memory, or in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goque.errors import SignalTimeout
from goque.execution.inline_steps import InlineSteps, MemorySteps
from goque.payload import decode_json, encode_payload
from goque.steps.question import Answer, Ask, Question, State


class StepKeeper:
    """Answers runs: from memory or the table what they ask about steps, itself what they ask about time and signals.

    Args:
        signals: the values of the signals that come, by name; SignalTimeout for one that does not come in time.

    Attributes:
        kept: what keeps the recorded steps.
    """

    def __init__(self, signals: Mapping[str, Any]) -> None:
        self.kept: InlineSteps = MemorySteps()
        self._signals = {
            name: encode_payload(value, what=f"signal {name!r}")
            for name, value in signals.items()
            if value is not SignalTimeout
        }
        self._expired = {name for name, value in signals.items() if value is SignalTimeout}

    def answer(self, question: Question) -> Answer:
        """Answer a question. A sleep is over at once, and so is a wait with a timeout whose signal does not come."""
        if question.ask is Ask.SLEEP:
            return Answer(State.KNOWN)
        if question.ask is not Ask.WAIT:
            return self.kept.ask(question)
        if question.name in self._signals:
            return Answer(State.KNOWN, self._signals[question.name])
        is_endless = question.seconds is None and question.name not in self._expired
        return Answer(State.OPEN if is_endless else State.EXPIRED)

    def recorded(self) -> dict[str, Any]:
        """Return the values of the recorded steps by name."""
        found: dict[str, bytes] = {}
        after, is_all = "", False
        while not is_all:
            answer = self.kept.ask(Question(Ask.READ, after))
            found.update(answer.steps)
            is_all = answer.is_all
            after = answer.steps[-1][0] if answer.steps else ""
        return {name: decode_json(raw, f"step {name!r}") for name, raw in found.items()}
