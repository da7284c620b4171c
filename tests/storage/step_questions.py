"""The questions of runs about their steps, as tests ask them."""

from __future__ import annotations

from typing import Any

import msgspec

from goque.outcome import Change
from goque.steps.question import Answer, Ask, Question, State
from goque.storage.sql.storage import SqlStorage
from goque.task_row import TaskRow, before_claim

KNOWN = Answer(State.KNOWN)
EXPIRED = Answer(State.EXPIRED)
LOST = Answer(State.LOST)


def record(name: str, value: Any = None, *, duration: float = 0.5) -> Question:
    return Question(Ask.RECORD, name, msgspec.json.encode(value), duration=duration)


def sleep(name: str, seconds: float) -> Question:
    return Question(Ask.SLEEP, name, seconds=seconds)


def wait(name: str, seconds: float | None = None) -> Question:
    return Question(Ask.WAIT, name, seconds=seconds)


def read(after: str = "") -> Question:
    return Question(Ask.READ, after)


def opening(after: str = "") -> Question:
    return Question(Ask.OPEN_STEPS, after)


def left(seconds: float | None) -> Answer:
    return Answer(State.OPEN, seconds=seconds)


def known(value: Any) -> Answer:
    return Answer(State.KNOWN, msgspec.json.encode(value))


def ask(storage: SqlStorage, row: TaskRow, *questions: Question) -> Any:
    """Return the answer to a question, or the answers to several."""
    answers = storage.answer_steps([(row.token, question) for question in questions])
    return answers[0] if len(questions) == 1 else answers


def recorded(storage: SqlStorage, row: TaskRow) -> dict[str, Any]:
    """Return the recorded steps of a task as the next run reads them."""
    steps: dict[str, Any] = {}
    after = ""
    while True:
        answer = ask(storage, row, read(after))
        steps |= {name: msgspec.json.decode(value) for name, value in answer.steps}
        if answer.is_all:
            return steps
        after = answer.steps[-1][0]


def put_off(row: TaskRow, delay: float, *, waits_for: str = "") -> Change:
    """Return the change that ends a run which sleeps or waits."""
    return Change(
        row.token, before_claim(row), row.attempts, delay=delay, waits_for=(waits_for,) if waits_for else ()
    )
