"""The app of `goque demo`: three handlers, one of which has a bug that no `except` could catch."""

import ctypes
from pathlib import Path

import goque

registry = goque.Registry()
soon = goque.retry.static(1.0)  # try again a second later


@registry.processor("greet", workers=1)
def greet(name: str) -> None:
    """Succeed."""
    Path("greeting.txt").write_text(f"hello, {name}\n", "utf-8")


@registry.processor("call_api", workers=1, next_attempt_at=soon)
def call_api(task: goque.Task) -> None:
    """Fail at the first attempt, as the network does."""
    if task.attempts == 0:
        raise ConnectionError("the other side hung up")


@registry.processor("resize", workers=1, max_attempts=2, next_attempt_at=soon)
def resize(path: str) -> None:
    """Die at one of them, as a C library with a bug does."""
    if path == "broken.png":
        ctypes.string_at(0)  # reads through a null pointer: SIGSEGV
