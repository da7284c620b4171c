"""What a run asks about its steps, and the answer: data between a handler, its fetcher and the table."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from goque.errors import ConfigurationError
from goque.task_rules.checks import check_name

MAX_NAME: Final = 200
"""The characters of a step's name, so that it fits a key of every database and a record of the black box."""


class Ask(StrEnum):
    """What a question asks for."""

    READ = "read"
    """The recorded steps after `name`, in the order of their names."""

    OPEN_STEPS = "open_steps"
    """The same, by a run that records steps in transactions of its own: the task is noted as one that has steps."""

    RECORD = "record"
    """To record the value of a step that has ended."""

    SLEEP = "sleep"
    """To begin a sleep of `seconds`, or how much is left of one that has begun."""

    WAIT = "wait"
    """For the signal `name`, or to begin to wait for it, for `seconds` (None without end)."""


class Question(msgspec.Struct, frozen=True, array_like=True):
    """One question of a run. It may be asked twice, if its answer is lost: the second time changes nothing.

    Attributes:
        ask: what it asks for.
        name: the name of the step or the signal; with READ and OPEN_STEPS, the last name that is known, or
            an empty text.
        value: with RECORD, the JSON text of the value.
        seconds: the length of a sleep, or the timeout of a wait.
        duration: with RECORD, the seconds that the step took.
    """

    ask: Ask
    name: str = ""
    value: bytes = b"null"
    seconds: float | None = None
    duration: float = 0.0


class State(StrEnum):
    """What an answer says."""

    KNOWN = "known"
    """The answer is here: the step is recorded, the sleep is over, the signal has come, or these are the steps."""

    OPEN = "open"
    """The sleep lasts, or the signal has not come, for another `seconds` (None without end)."""

    EXPIRED = "expired"
    """The wait has ended without its signal."""

    LOST = "lost"
    """The run does not hold its claim any more: another node or a cancel has taken it."""

    REFUSED = "refused"
    """The database does not take the value; `text` says why."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a question. What it says is committed.

    Attributes:
        state: what it says.
        value: the JSON text of the signal.
        seconds: how long a sleep or a wait lasts yet; None without end.
        steps: with READ and OPEN_STEPS, the names and the JSON texts of recorded steps.
        is_all: with READ and OPEN_STEPS, whether there are no more.
        text: why a value is refused.
    """

    state: State
    value: bytes = b"null"
    seconds: float | None = None
    steps: tuple[tuple[str, bytes], ...] = ()
    is_all: bool = True
    text: str = ""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a run says that it is.

    Attributes:
        fraction: 0 to 1.
        note: what it does, up to 200 characters.
    """

    fraction: float
    note: str = ""


def check_step_name(what: str, name: str) -> str:
    """Return the name of a step or a signal.

    Raises:
        ConfigurationError: it is no text, is empty or too long, or has characters that a database cannot store.
    """
    if isinstance(name, str) and not 0 < len(name) <= MAX_NAME:
        raise ConfigurationError(f"{what} must have 1 to {MAX_NAME} characters, not {len(name)}")
    check_name(what, name)
    return name
