"""How many tasks of a type run at once, and how many start in a time: the options, and what follows from them.

No I/O here. A claim counts the claims of its type under a lock, and asks this module how many more it may take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from goque.errors import ConfigurationError, length
from goque.payload import decode_json
from goque.task_rules.checks import check_name

LimitKey: TypeAlias = str | Callable[[Any], str | None]

NO_KEY: Final = ""
"""The key in the table of a task of a limited type that has none. They take one turn together."""

MAX_COUNT: Final = 1_000_000_000
ROUNDING: Final = 1e-3
"""Seconds by which an arrival time may be off through sums and columns."""

SHORTEST_INTERVAL: Final = 1e-6
"""Seconds between two starts: no database counts in less than microseconds."""


class PutOff(msgspec.Struct, frozen=True):
    """What a change holds back: nothing of this type, or of this key of it, starts before `seconds` have passed."""

    type: str
    key: str
    seconds: float


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most so many starts in a time.

    On average `count` tasks start in `per` seconds, evenly. In any window of w seconds at most
    `burst + count * w / per` start: the generic cell rate algorithm (ITU-T I.371). The clock is the database's.

    Attributes:
        count: how many tasks start.
        per: in this many seconds, or a timedelta.
        burst: how many may start at once after a pause; None for `count`.
        per_key: whether each `limit_key` has this rate for itself, instead of the type as a whole.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    count: int
    per: float
    burst: int | None = None
    per_key: bool = False

    if TYPE_CHECKING:  # the field is a number of seconds, whatever was given

        def __init__(
            self,
            count: int,
            per: float | timedelta,
            burst: int | None = None,
            per_key: bool = False,  # noqa: FBT001, FBT002 - as the struct takes it
        ) -> None: ...

    def __post_init__(self) -> None:
        check_limit("the count of a Rate", self.count)
        msgspec.structs.force_setattr(self, "per", length(self.per, "per of a Rate", positive=True))
        if self.interval < SHORTEST_INTERVAL:
            raise ConfigurationError(f"a Rate of {self.count} per {self.per:g}s is no limit; leave it out")
        if self.burst is not None:
            check_limit("burst of a Rate", self.burst)
        if not isinstance(self.per_key, bool):
            raise ConfigurationError(f"per_key of a Rate must be True or False, not {self.per_key!r:.80}")

    def __str__(self) -> str:
        burst = "" if self.burst is None else f", burst {self.burst}"
        return f"{self.count}/{self.per:g}{burst}{', for each key' if self.per_key else ''}"

    @property
    def interval(self) -> float:
        """Seconds between two starts on average."""
        return self.per / self.count

    @property
    def tolerance(self) -> float:
        """Seconds by which the starts may be ahead of the average."""
        return (self.burst or self.count) * self.interval


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What bounds a type, over all nodes.

    Attributes:
        limit: how many of its tasks run at once.
        per_key: how many of each `limit_key` run at once.
        rate: how many start in a time.
    """

    limit: int | None = None
    per_key: int | None = None
    rate: Rate | None = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS: Final = Limits()


class LimitChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was set at run time; what is UNSET is as the processor says, and None is no limit."""

    limit: int | msgspec.UnsetType | None = msgspec.UNSET
    per_key: int | msgspec.UnsetType | None = msgspec.UNSET
    rate: Rate | msgspec.UnsetType | None = msgspec.UNSET

    def merged(self, later: LimitChanges) -> LimitChanges:
        """Return these with what was set later."""
        return LimitChanges(**{**_set_fields(self), **_set_fields(later)})

    def applied_to(self, declared: Limits) -> Limits:
        """Return the limits of a type whose processor declares these."""
        return msgspec.structs.replace(declared, **_set_fields(self))


def check_changes(
    limit: int | msgspec.UnsetType | None,
    limit_per_key: int | msgspec.UnsetType | None,
    rate: Rate | msgspec.UnsetType | None,
) -> LimitChanges:
    """Return what is to be set at run time.

    Raises:
        ConfigurationError: a limit is wrong, or all are left out.
    """
    if limit is msgspec.UNSET and limit_per_key is msgspec.UNSET and rate is msgspec.UNSET:
        raise ConfigurationError("give limit, limit_per_key or rate; None removes one of them")
    for name, value in (("limit", limit), ("limit_per_key", limit_per_key)):
        if value is not None and value is not msgspec.UNSET:
            check_limit(name, value)
    if rate is not None and rate is not msgspec.UNSET:
        check_rate("rate", rate)
    return LimitChanges(limit, limit_per_key, rate)


def _set_fields(changes: LimitChanges) -> dict[str, Any]:
    values = {name: getattr(changes, name) for name in changes.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def check_limit(name: str, value: object) -> int:
    """Return a limit.

    Raises:
        ConfigurationError: it is no whole number from 1 up.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        hint = "; to stop a type, pause it" if value == 0 and value is not False else ""
        raise ConfigurationError(f"{name} must be a whole number from 1 up, not {value!r:.80}{hint}")
    return value


def check_rate(name: str, value: object) -> Rate:
    """Return a rate, or raise ConfigurationError naming it."""
    if not isinstance(value, Rate):
        raise ConfigurationError(
            f"{name} must be a goque.Rate, such as goque.Rate(100, per=60), not {value!r:.80}"
        )
    return value


def check_limit_key(value: object) -> None:
    """Refuse what is no key of a limit: neither a text that can be stored, nor a function, nor None.

    Raises:
        ConfigurationError: it is none of these.
    """
    if isinstance(value, str):
        check_name("limit_key", value)
    elif value is not None and not callable(value):
        raise ConfigurationError(f"limit_key must be text or a function of the payload, not {value!r:.80}")


def limit_key_of(function: Callable[[Any], str | None], payload: Any) -> str | None:
    """Return what a `limit_key` function makes of a payload; None for a task without a key.

    Raises:
        ConfigurationError: it raises, or returns neither None nor a text that can be a key.
    """
    try:
        key = function(payload)
    except Exception as error:
        raise ConfigurationError(
            f"limit_key raised {type(error).__name__}: {error!s:.200}; it gets the payload, and must return a text"
        ) from error
    if key is not None:
        check_name("what limit_key returns", key)
    return key


class Pace(msgspec.Struct, frozen=True):
    """How far the starts of a type, or of a key, are; times are seconds of the database's clock since 1970.

    Attributes:
        arrival: when the next start would be due if all came evenly: the "theoretical arrival time" of the algorithm.
        not_before: nothing starts before, because a handler raised `goque.RateLimited`.
    """

    arrival: float = 0.0
    not_before: float = 0.0

    def grants(self, rate: Rate | None, now: float, wanted: int) -> int:
        """Return how many tasks may start now, of those that are wanted."""
        if now < self.not_before:
            return 0
        if rate is None:
            return wanted
        ahead = self._arrival(rate, now) - now
        return max(0, min(wanted, math.floor((rate.tolerance - ahead) / rate.interval + 1e-6)))

    def seconds_until_next(self, rate: Rate | None, now: float) -> float:
        """Return the seconds until a task may start; 0 if one may."""
        held = self.not_before - now
        if rate is not None:
            held = max(held, self._arrival(rate, now) - now + rate.interval - rate.tolerance)
        return max(0.0, held)

    def after(self, rate: Rate, now: float, started: int) -> float:
        """Return the new arrival time after so many starts."""
        return self._arrival(rate, now) + started * rate.interval

    def is_beyond(self, rate: Rate, now: float) -> bool:
        """Return whether no start at this rate can have led here: the rate was slower, or the clock was set back.

        A claim writes what is left of it, or the wait would begin anew at each look.
        """
        return self.arrival > now + rate.tolerance + ROUNDING

    def _arrival(self, rate: Rate, now: float) -> float:
        """Return the arrival time, but for what is beyond this rate: then its burst is used up, and no more."""
        return min(max(self.arrival, now), now + rate.tolerance)


def encode_limits(limits: Limits | LimitChanges) -> str | None:
    """Encode limits for their column; None if there are none."""
    text = msgspec.json.encode(limits).decode()
    return None if text == "{}" else text


def read_limits(text: str | None) -> Limits:
    """Read a column of declared limits; what is none counts as no limits."""
    read: Limits = _read(text, Limits, NO_LIMITS)
    return read


def read_changes(text: str | None) -> LimitChanges:
    """Read a column of limits that were set at run time; what is none counts as nothing set."""
    read: LimitChanges = _read(text, LimitChanges, LimitChanges())
    return read


def _read(text: str | None, kind: Any, otherwise: Any) -> Any:
    if text is None:
        return otherwise
    try:
        read = msgspec.convert(decode_json(text.encode("utf-8", "replace")), kind)
        for name in ("limit", "per_key"):
            if getattr(read, name) not in (None, msgspec.UNSET):
                check_limit(name, getattr(read, name))
    except Exception:  # noqa: BLE001 - anything may be in the column: another program wrote it
        return otherwise
    return read
