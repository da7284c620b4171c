"""The texts that stay of an exception: its class and message on a line, and its traceback. No I/O happens here."""

from __future__ import annotations

import traceback
from typing import Final

from goque.errors import GoqueError
from goque.execution.error_groups import leaves_of
from goque.task_rules.error_lines import MAX_ERRORS_BYTES, first_line, printable

MAX_NAMED: Final = 5
"""How many exceptions of a group its message names."""


def named_message_of(error: BaseException) -> str:
    """Return the class and the message of an exception, as the last line of its traceback has them.

    The exceptions of goque are named as users import them. After the message of a group comes what is in it.
    """
    name = _class_of(error)
    try:
        text = str(error)
    except BaseException as worse:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"{name} (its text cannot be read: {type(worse).__name__})"
    if isinstance(error, BaseExceptionGroup):
        text = f"{text}: {_contents_of(error)}"
    return printable(f"{name}: {text}" if text else name, MAX_ERRORS_BYTES)


def message_of(error: BaseException) -> str:
    """Return the message of an exception, empty if there is none or it cannot be read."""
    try:
        return printable(str(error), MAX_ERRORS_BYTES)
    except BaseException as worse:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"{_class_of(error)} (its text cannot be read: {type(worse).__name__})"


def _class_of(error: BaseException) -> str:
    kind = type(error)
    module = "goque" if kind.__module__ == GoqueError.__module__ else kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _contents_of(group: BaseException) -> str:
    """Return the classes and messages of the exceptions in a group, on one line."""
    leaves = leaves_of(group)
    named = [first_line(named_message_of(leaf)) for leaf in leaves[:MAX_NAMED]]
    return "; ".join(named) + (f"; and {len(leaves) - MAX_NAMED} more" if len(leaves) > MAX_NAMED else "")


def traceback_of(error: BaseException) -> str:
    """Format a traceback without goque's own frames above the handler."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as worse:  # noqa: BLE001 - the user's __str__ and __repr__ may raise anything
        text = f"{type(error).__name__} (its traceback cannot be formatted: {type(worse).__name__})"
    return printable(text, MAX_ERRORS_BYTES)


def _is_ours(module: str) -> bool:
    return module.startswith(("goque.execution.", "goque_supervisor."))
