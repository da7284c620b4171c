"""What a replay answers its run about steps."""

from __future__ import annotations

from goque.execution.inline_steps import MemorySteps
from goque.steps.question import Answer, Ask, Question, State
from goque_supervisor.replay.answers import ReplaySteps


def test_recorded_steps_are_known_new_ones_kept_and_no_sleep_is_waited_for() -> None:
    kept = MemorySteps({"first": b"1"}, {"paid": b"true"})
    steps = ReplaySteps(kept)
    assert steps.ask(Question(Ask.READ)).steps == (("first", b"1"),)
    assert steps.ask(Question(Ask.RECORD, "second", b"2")) == Answer(State.KNOWN)
    assert steps.ask(Question(Ask.SLEEP, "cool", seconds=3600.0)) == Answer(State.KNOWN)
    assert steps.ask(Question(Ask.WAIT, "paid")) == Answer(State.KNOWN, b"true")
    assert steps.ask(Question(Ask.WAIT, "never")) == Answer(State.OPEN)
    assert kept.steps == {"first": b"1", "second": b"2"}
