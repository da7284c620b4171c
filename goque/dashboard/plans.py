"""What an action of the dashboard is: what it asks, and what carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from goque.dashboard.queries import BadQueryError
from goque.errors import GoqueError
from goque.task_row import TERMINAL_STATUSES, TaskStatus

Params: TypeAlias = Mapping[str, str]

CANCELABLE: Final = frozenset(set(TaskStatus) - TERMINAL_STATUSES)
RESETTABLE: Final = TERMINAL_STATUSES | {TaskStatus.ERROR}


class BadFieldError(GoqueError):
    """What somebody has filled in is wrong; the form is shown again with this message."""


@dataclass(frozen=True)
class Field:
    """One field that people fill in.

    Attributes:
        name: its name in the form.
        label: its label.
        value: its text.
        was: its text when the form was first shown, which tells what somebody has changed.
        example: what it shows while it is empty.
        choices: the values to choose from, with their words; empty for free text.
    """

    name: str
    label: str
    value: str
    was: str
    example: str = ""
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Plan:
    """An action with its object.

    Attributes:
        title: the question of the confirmation.
        note: its consequences.
        button: the label of the button.
        back: the page to return to, under the dashboard's prefix.
        then: the page to show after the action; empty for `back`.
        act: carries it out, and returns a message. Raises BadFieldError if a field is wrong.
        is_grave: whether it cannot be undone.
        fields: what people fill in.
    """

    title: str
    note: str
    button: str
    back: str
    act: Callable[[str], str]
    is_grave: bool = False
    fields: Sequence[Field] = ()
    then: str = ""


def name_in(params: Params, field: str) -> str:
    """Return the name of an action's object. Raises BadQueryError if there is none."""
    name = params.get(field, "")
    if not name:
        raise BadQueryError(f"which {field}?")
    return name
