"""Renders Python source files to HTML with Pygments: real input, real CPU time, one task a file.

goque supervise app:registry
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import tokenize
from pathlib import Path

import msgspec
from pygments import highlight as render
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import goque

registry = goque.Registry()
at_once = goque.retry.static(0)


class Source(msgspec.Struct):
    """The payload: a source file, and the page to make of it."""

    file: str
    page: str


@registry.processor("highlight", timeout=60, max_attempts=2, next_attempt_at=at_once)
def highlight(source: Source) -> None:
    """Render one file; one that cannot be decoded fails the attempt with its own error."""
    write_page(Path(source.page), page_of(Path(source.file)))


@registry.processor("segfault", max_attempts=2, next_attempt_at=at_once)
def segfault(source: Source) -> None:
    """Die as a C extension with a bug does: read through a null pointer."""
    del source
    ctypes.string_at(0)


def page_of(file: Path) -> str:
    """Return the HTML page of a source file, read in the encoding that the file itself declares."""
    with tokenize.open(file) as text:
        return render(text.read(), PythonLexer(), HtmlFormatter(full=True, linenos="inline", title=file.name))


def write_page(page: Path, html: str) -> None:
    """Write a page in one step: a task may run again after a crash, and a half page must never be seen."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=page.parent, delete=False) as draft:
        draft.write(html)
    os.replace(draft.name, page)  # noqa: PTH105 - the same call, on text
