"""The value of an option that gives a signal to a task."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from goque.errors import ConfigurationError, InvalidPayloadFormatError
from goque.payload import encode_payload
from goque.steps.question import check_step_name


class Signals(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """The name of a signal, or its name, `=` and a JSON value; a list of this one signal."""

    name = "name[=json]"

    def split_envvar_value(self, rv: str) -> list[str]:
        """Take the whole variable as one signal: JSON may have spaces."""
        return [rv]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, bytes], ...]:
        """Refuse a name that no signal has, and a value that is not JSON."""
        name, has_value, text = str(value).partition("=")
        try:
            check_step_name("the name of a signal", name)
            raw = text.encode("utf-8", "surrogateescape") if has_value else b"null"
            return ((name, encode_payload(msgspec.Raw(raw), what="JSON")),)
        except (ConfigurationError, InvalidPayloadFormatError) as error:
            self.fail(
                f'{error}; give a name, or a name and JSON, such as approved=\'{{"by": "ada"}}\'', param, ctx
            )
