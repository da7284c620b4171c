"""Decide the answers to questions from the rows that are there: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from goque.steps.question import MAX_NAME, Answer, Ask, Question, State
from goque.storage.instants import later
from goque.task_rules.checks import is_storable

LOST: Final = Answer(State.LOST)
KNOWN: Final = Answer(State.KNOWN)
EXPIRED: Final = Answer(State.EXPIRED)

EXPIRED_VALUE: Final = '"expired"'
"""The value of a wait that a run was told to have ended without its signal."""

READS: Final = frozenset({Ask.READ, Ask.OPEN_STEPS})

MAX_PAGE_ROWS: Final = 1_000
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024


class Key(NamedTuple):
    """The primary key of a row."""

    task_id: str
    kind: str
    name: str


class Found(NamedTuple):
    """What a row says: its value as JSON text, and until when."""

    value: str | None
    until: datetime | None


class Saved(NamedTuple):
    """A row to be inserted; if it is there already, only its value and its claim change."""

    key: Key
    value: str | None
    until: datetime | None


class Decision(NamedTuple):
    """An answer, and the row that must be committed with it."""

    answer: Answer
    saved: Saved | None = None


def refusal(question: Question, most: int) -> str:
    """Return why no database can take a question, empty if it can.

    Args:
        question: the question.
        most: how many bytes a value may have here.
    """
    if len(question.name) > MAX_NAME or not is_storable(question.name):
        return f"its name {question.name!r:.80} cannot be stored"
    if len(question.value) > most:
        return f"its value has {len(question.value)} bytes; the database takes at most {most}"
    try:
        text = question.value.decode()
    except UnicodeDecodeError as error:
        return f"its value is not UTF-8: {error}"
    return "its value has a NUL character" if "\0" in text else ""


def keys_of(task_id: str, question: Question) -> tuple[Key, ...]:
    """Return the keys of the rows on which the answer depends."""
    if question.ask is Ask.SLEEP:
        return (Key(task_id, "sleep", question.name),)
    return Key(task_id, "wait", question.name), Key(task_id, "signal", question.name)


def decide(task_id: str, question: Question, found: Mapping[Key, Found], now: datetime) -> Decision:
    """Answer a SLEEP or a WAIT."""
    if question.ask is Ask.SLEEP:
        return _sleep(Key(task_id, "sleep", question.name), question, found, now)
    return _wait(task_id, question, found, now)


def _sleep(key: Key, question: Question, found: Mapping[Key, Found], now: datetime) -> Decision:
    row = found.get(key)
    if row is None:
        until = later(now, question.seconds or 0.0)
        return Decision(_left(until, now) or KNOWN, Saved(key, None, until))
    return Decision(KNOWN if row.until is None else _left(row.until, now) or KNOWN)


def _wait(task_id: str, question: Question, found: Mapping[Key, Found], now: datetime) -> Decision:
    """Answer a WAIT. Once a run was told that it has expired, no later signal changes that."""
    key, signal_key = keys_of(task_id, question)
    row, signal = found.get(key), found.get(signal_key)
    if row is not None and row.value is not None:
        return Decision(EXPIRED)
    if signal is not None:
        return Decision(Answer(State.KNOWN, (signal.value or "null").encode()))
    until = _deadline(question, now) if row is None else row.until
    if until is None:
        return Decision(Answer(State.OPEN), Saved(key, None, None))
    left = _left(until, now)
    if left is None:
        return Decision(EXPIRED, Saved(key, EXPIRED_VALUE, until))
    return Decision(left, Saved(key, None, until))


def _deadline(question: Question, now: datetime) -> datetime | None:
    return None if question.seconds is None else later(now, question.seconds)


def _left(until: datetime, now: datetime) -> Answer | None:
    """Return the answer of something that lasts until then, None if that is over."""
    seconds = (until - now).total_seconds()
    return Answer(State.OPEN, seconds=seconds) if seconds > 0 else None


def rows_of_page(sizes: Sequence[int]) -> int:
    """Return how many steps of these sizes a page has: at least one, if there is one."""
    total = 0
    for number, size in enumerate(sizes[:MAX_PAGE_ROWS]):
        total += size
        if total > MAX_PAGE_BYTES and number:
            return number
    return min(len(sizes), MAX_PAGE_ROWS)
