"""The app of `goque demo`: two handlers, one of which has a bug that no `except` could catch."""

import asyncio
import ctypes
from pathlib import Path

from pygments import highlight as render
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import goque

registry = goque.Registry()
soon = goque.retry.static(1.0)  # try again a second later


@registry.processor("highlight", max_attempts=2, retry=soon)
def highlight(path: str) -> None:
    """Render a Python file; die at one, as a C library with a bug does."""
    if path == "broken.py":
        ctypes.string_at(0)  # reads through a null pointer: SIGSEGV
    code = Path(path).read_text("utf-8", "replace")
    page = render(code, PythonLexer(), HtmlFormatter(full=True))
    Path("pages", f"{Path(path).name}.html").write_text(page, "utf-8")


@registry.processor("call_api", retry=soon)
async def call_api(task: goque.TypedTask[int]) -> None:
    """Wait for another service, many calls at a time; some fail at first."""
    await asyncio.sleep(0.5)
    if task.payload % 20 == 0 and task.attempts == 0:
        raise ConnectionError("the other side hung up")
