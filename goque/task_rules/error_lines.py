"""The errors of a task, one line for each: printable, and bounded. No I/O happens here."""

from __future__ import annotations

from typing import Final

MAX_ERRORS_BYTES: Final = 16 * 1024

_NO_ERRORS: Final = ("reset attempts: ", "blocked again: ")
"""How those lines begin that say what somebody did to a task."""


def append_error(errors: str | None, line: str) -> str:
    """Append the first line of a text to a task's errors; of all errors, keep the newest 16 KiB."""
    text = f"{errors or ''}{first_line(line)}\n"
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_ERRORS_BYTES:
        return encoded.decode()
    kept = encoded[-MAX_ERRORS_BYTES:].decode("utf-8", "ignore")
    whole_lines = kept.partition("\n")[2]
    return whole_lines or kept


def last_error(errors: str) -> str:
    """Return the last line of a task's errors; empty if that is no error, but says that the task was reset."""
    line = errors.rstrip().rpartition("\n")[2]
    return "" if line.startswith(_NO_ERRORS) else line


def first_line(text: str) -> str:
    """Return the first line of a text, printable and short enough for one line of errors."""
    head = next(iter(text.strip().splitlines()), "")
    return printable(head)[: MAX_ERRORS_BYTES // 4]


def printable(text: str, limit: int = MAX_ERRORS_BYTES) -> str:
    """Return a text that every database stores: no control characters but newline and tab, no surrogates.

    Args:
        text: from an exception or a process.
        limit: the maximum in bytes of UTF-8; a longer text keeps its head and its tail.
    """
    if len(text) > limit:
        text = f"{text[: limit // 2]}\n…\n{text[-limit // 2 + 8 :]}"
    clean = text.encode("utf-8", "backslashreplace")
    if len(clean) > limit:
        clean = clean[: limit // 2] + "\n…\n".encode() + clean[-limit // 2 + 8 :]
    decoded = clean.decode("utf-8", "ignore")
    if decoded.isprintable():
        return decoded
    return "".join(
        char if char.isprintable() or char in "\n\t" or ord(char) >= 0xA0 else f"\\x{ord(char):02x}"
        for char in decoded
    )
