"""The app of `goque demo`: three handlers, one of which has a bug that no `except` could catch."""

import ctypes

import goque

registry = goque.Registry()
soon = goque.retry.static(1.0)


@registry.processor("greet", workers=1)
def greet(name: str) -> None:
    """Succeed."""
    print(f"hello, {name}")  # noqa: T201 - what a first handler does


@registry.processor("call_api", workers=1, next_attempt_at=soon)
def call_api(task: goque.Task) -> None:
    """Fail at the first attempt, as the network does."""
    if task.attempts == 0:
        raise ConnectionError("the other side hung up")


@registry.processor("read_image", workers=2, max_attempts=2, next_attempt_at=soon)
def read_image(path: str) -> None:
    """Die at one image, as a C library with a bug does: it reads through a null pointer."""
    if path == "broken.png":
        ctypes.string_at(0)
