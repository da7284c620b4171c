"""How long a task waits after its n-th failure. Strategies are data, so that any process can apply them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from goque.errors import MAX_DELAY, ConfigurationError, length, seconds

FIBONACCI_PERIODS: Final = tuple(timedelta(minutes=n) for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89))
"""The original's Fibonacci delays: 1 to 89 minutes."""

STRONG_PERIODS: Final = tuple(timedelta(minutes=n) for n in (1, 5, 10, 15, 30, 60))
"""The original's steeper delays: 1 to 60 minutes."""


class Static(msgspec.Struct, frozen=True, tag="static"):
    """Wait the same time after each failure."""

    period: float

    def __call__(self, failures: int) -> timedelta:
        """Return the wait after this many failures."""
        del failures
        return timedelta(seconds=self.period)


class Step(msgspec.Struct, frozen=True, tag="step"):
    """Wait the n-th period after the n-th failure, and the last one from then on."""

    periods: tuple[float, ...]

    def __call__(self, failures: int) -> timedelta:
        """Return the wait after this many failures."""
        return timedelta(seconds=self.periods[min(failures, len(self.periods)) - 1])


class RoundStep(msgspec.Struct, frozen=True, tag="round_step"):
    """Wait the n-th period after the n-th failure, and begin again with the first after the last."""

    periods: tuple[float, ...]

    def __call__(self, failures: int) -> timedelta:
        """Return the wait after this many failures."""
        return timedelta(seconds=self.periods[(failures - 1) % len(self.periods)])


class Exponential(msgspec.Struct, frozen=True, tag="exponential"):
    """Wait `base * factor ** (failures - 1)` up to a maximum, times a number from 1 - jitter to 1 + jitter."""

    base: float
    maximum: float
    jitter: float = 0.0
    factor: float = 2.0

    def __call__(self, failures: int) -> timedelta:
        """Return the wait after this many failures."""
        try:
            delay = min(self.maximum, self.base * self.factor ** (failures - 1))
        except OverflowError:
            delay = self.maximum if self.base else 0.0
        return timedelta(seconds=delay * random.uniform(1 - self.jitter, 1 + self.jitter))  # noqa: S311 - not a secret


Strategy = Static | Step | RoundStep | Exponential
"""The strategies that are data."""

NextAttemptAt = Callable[[int], "float | timedelta | datetime"]
"""A strategy of the user: from the failures (1 or more) to seconds, a timedelta or an aware datetime."""

DEFAULT: Final = Exponential(base=10.0, maximum=3600.0, jitter=0.1, factor=6.0)
"""The wait after a failure, where a processor names no strategy: about 10 s, 1 min, 6 min, 36 min, then 1 h."""

MAX_ATTEMPTS: Final = 5
"""How often a task is tried, where its processor does not say."""


def static(period: float | timedelta) -> Static:
    """Wait `period` seconds after each failure."""
    return Static(length(period, "period"))


def step(periods: Sequence[float | timedelta]) -> Step:
    """Wait `periods[n - 1]` seconds after the n-th failure; the last period repeats."""
    return Step(_periods(periods))


def round_step(periods: Sequence[float | timedelta]) -> RoundStep:
    """Wait `periods[n - 1]` seconds after the n-th failure; the periods begin again after the last."""
    return RoundStep(_periods(periods))


def exponential(
    base: float | timedelta = 1.0,
    maximum: float | timedelta = 3600.0,
    jitter: float = 0.0,
    *,
    factor: float = 2.0,
) -> Exponential:
    """Multiply the wait by `factor` with each failure, from `base` seconds up to `maximum`.

    Args:
        base: the wait in seconds after the first failure.
        maximum: the longest wait in seconds, before jitter.
        jitter: 0 to 1; each wait is multiplied by a uniformly random number from 1 - jitter to 1 + jitter.
        factor: 1 to 1000.

    Raises:
        ConfigurationError: one of them is no number, or is out of its range.
    """
    for name, value, least, most in (("jitter", jitter, 0, 1), ("factor", factor, 1, 1000)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigurationError(f"{name} must be from {least} to {most}, not {value!r:.80}")
    return Exponential(length(base, "base"), length(maximum, "maximum"), float(jitter), float(factor))


def delay_of(answer: float | timedelta | datetime) -> float:
    """Turn the answer of a strategy into seconds from now, never negative.

    Raises:
        ConfigurationError: the answer is a naive datetime, not a number, or not finite.
    """
    if isinstance(answer, datetime):
        if answer.tzinfo is None:
            raise ConfigurationError(
                f"next_attempt_at returned the naive datetime {answer}; give it a time zone"
            )
        answer = answer - datetime.now(UTC)
    if isinstance(answer, bool) or not isinstance(answer, int | float | timedelta):
        raise ConfigurationError(
            f"next_attempt_at must return seconds, a timedelta or a datetime, not {answer!r:.80}"
        )
    delay = seconds(answer, "next_attempt_at")
    if delay != delay:  # noqa: PLR0124 - NaN alone differs from itself
        raise ConfigurationError("next_attempt_at returned NaN; return seconds, a timedelta or a datetime")
    return min(max(delay, 0.0), MAX_DELAY)


def _periods(periods: Any) -> tuple[float, ...]:
    if not isinstance(periods, Iterable):
        raise ConfigurationError(f"periods must be a sequence of seconds, not {periods!r:.80}")
    checked = tuple(length(period, "periods") for period in periods)
    if not checked:
        raise ConfigurationError("periods must have at least one period")
    return checked
