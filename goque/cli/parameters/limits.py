"""The kinds of values that `goque limit` takes: a limit, a rate, or none of it."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from goque.cli.parameters.config_options import NUMBER_OR_NONE
from goque.cli.parameters.values import seconds_of
from goque.errors import ConfigurationError
from goque.task_rules.limits import Rate, check_limit

NONE: Final = "none"
"""What takes a limit away. The options return this text, since click takes None for an option that is not given."""


class LimitOrNone(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A whole number from 1 up, or `none`."""

    name = NUMBER_OR_NONE

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Refuse what is neither."""
        text = str(value).strip().lower()
        if text == NONE:
            return NONE
        try:
            return check_limit("it", int(text))
        except ConfigurationError as error:
            self.fail(f"{error}; {NONE} removes the limit", param, ctx)
        except ValueError:
            self.fail(f"must be a whole number from 1 up, or {NONE}, not {value!r:.80}", param, ctx)


class RateOrNone(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Starts in a time, such as 100/60, 100/60s or 5/1m; or `none`."""

    name = "COUNT/TIME|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Rate | str:
        """Refuse what is neither."""
        if isinstance(value, Rate):
            return value
        text = str(value).strip().lower()
        if text == NONE:
            return NONE
        found = _RATE.fullmatch(text)
        seconds = seconds_of(found[2]) if found else None
        if found is None or seconds is None:
            self.fail(
                f"must be a count and a time, such as 100/60 or 5/1m, or {NONE}, not {value!r:.80}",
                param,
                ctx,
            )
        try:
            return Rate(int(found[1]), per=seconds)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


_RATE: Final = re.compile(r"([0-9]{1,19})/(\S+)")
