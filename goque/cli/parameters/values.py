"""The kinds of values that options take: names, whole numbers, durations, times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from goque.errors import MAX_DELAY
from goque.identifiers import is_task_id
from goque.task_rules.checks import is_storable


class Names(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A comma-separated list of names; of an option that may be given several times, one of the lists.

    Args:
        known: the names there are; empty if any will do.
    """

    name = "a,b"

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self.known = known

    def split_envvar_value(self, rv: str) -> list[str]:
        """Take the whole variable as one list: names may have spaces."""
        return [rv]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the list and refuse unknown names."""
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if not names:
            self.fail("give at least one name, with commas between several", param, ctx)
        for name in names:
            if self.known and name not in self.known:
                self.fail(f"{name!r} is not one of {', '.join(self.known)}", param, ctx)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last name of the list with known names that are not in the list yet."""
        del ctx, param
        return complete_last(self.known, incomplete)


def complete_last(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Complete the last name of a comma-separated list with known names that are not in the list yet."""
    before, comma, last = incomplete.rpartition(",")
    left = [name for name in known if name not in before.split(",")]
    return [CompletionItem(f"{before}{comma}{name}") for name in left if name.startswith(last)]


class Text(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A text that every database can be asked for."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse bytes that are not UTF-8, and a NUL."""
        text = str(value)
        if not is_storable(text):
            self.fail(f"{value!r:.80} is not UTF-8 text without a NUL", param, ctx)
        return text


class WholeNumber(click.IntRange):
    """A whole number within bounds."""

    name = "whole number"

    def _describe_range(self) -> str:
        """Format the bounds as words; click's own --help prints inequalities."""
        return f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A length of time: a number of seconds, or numbers with units, such as 90s, 5m, 2h or 1h30m.

    Args:
        zero: whether 0 is a good value.
    """

    name = "duration"

    def __init__(self, *, zero: bool) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse a value that is no length of time, is negative, or is not finite."""
        seconds = seconds_of(value)
        if seconds is None or seconds < 0 or (seconds == 0 and not self.zero):
            least = "0 or more" if self.zero else "more than 0"
            self.fail(f"must be {least} seconds, such as 90, 90s, 5m or 2h, not {value!r}", param, ctx)
        return seconds


class Rfc3339(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A time with a time zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Refuse a value that is no RFC 3339 time."""
        instant = instant_of(str(value))
        if instant is None:
            self.fail(f"{value!r} is not a time with a time zone, such as 2026-11-23T21:00:00Z", param, ctx)
        return instant


class Since(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A time with a time zone, or how long ago it was."""

    name = "time|age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time; refuse a value that is neither."""
        instant, age = instant_of(str(value)), seconds_of(value)
        if instant is None and age is not None and 0 <= age <= MAX_DELAY:
            instant = datetime.now(UTC) - timedelta(seconds=age)
        if instant is None:
            self.fail(
                f"{value!r} is neither an age, such as 90s, 5m, 2h or 7d, nor a time with a time zone, such as "
                "2026-11-23T21:00:00Z",
                param,
                ctx,
            )
        return instant


class TaskId(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """The id of a task."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a value that no task can have as its id."""
        task_id = str(value).strip().lower()
        if not is_task_id(task_id):
            self.fail(f"{value!r:.80} is no task id; `goque list` shows the ids", param, ctx)
        return task_id


def seconds_of(value: Any) -> float | None:
    """Return a length of time in seconds, None if it is none or not finite."""
    text = str(value).strip().lower()
    try:
        seconds = float(text)
    except ValueError:
        if not _LENGTH.fullmatch(text):
            return None
        seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    return seconds if math.isfinite(seconds) else None


def instant_of(text: str) -> datetime | None:
    """Return an RFC 3339 time with a time zone, None for other text."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_LENGTH: Final = re.compile(rf"(?:{_PART.pattern})+")
