"""Help texts and errors that name the program as people have called it: `goque`, or `manage.py goque`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click

PROGRAM: Final = "goque"
APP_ARGUMENT: Final = "[APP]"
_CALL: Final = re.compile(r"(?<![\w./-])goque (?=COMMAND\b|--|([a-z][a-z-]*)\b)")
_APP: Final = re.compile(r"(goque [a-z-]+) (?:app:registry|APP)\b")
_ABOUT_APP: Final = re.compile(r"^APP is (?:.+\n?)+\n*", re.MULTILINE)


class ProgramContext(click.Context):
    """A context whose help names the program by `info_name` of its outermost context."""

    def make_formatter(self) -> click.HelpFormatter:
        """Return a formatter that knows the program's name."""
        return ProgramFormatter(self, width=self.terminal_width, max_width=self.max_content_width)


class ProgramFormatter(click.HelpFormatter):
    """Writes the name of the program into texts before it wraps them."""

    def __init__(self, context: click.Context, *, width: int | None, max_width: int | None) -> None:
        super().__init__(width=width, max_width=max_width)
        self._context = context

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(in_words_of(self._context, text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of options or commands."""
        named = [(name, in_words_of(self._context, text)) for name, text in rows]
        super().write_dl(named, col_max, col_spacing)


def knows_its_app(context: click.Context) -> bool:
    """Return whether the program gives each command its app, as manage.py of a Django project does."""
    return (context.find_root().info_name or "").endswith(f" {PROGRAM}")


def in_words_of(context: click.Context, text: str) -> str:
    """Return a text about commands of goque as the called program's user would type them."""
    root = context.find_root()
    if not knows_its_app(context):
        return text
    commands = getattr(root.command, "commands", ())

    def call(match: re.Match[str]) -> str:
        return f"{root.info_name} " if match[1] is None or match[1] in commands else match[0]

    return _CALL.sub(call, _APP.sub(r"\1", _ABOUT_APP.sub("", text)))
