"""Reads single keys from a terminal without echo, and restores the terminal at the end."""

from __future__ import annotations

import os
import select
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SEQUENCES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b"\x03": "ctrl-c",
}
MAX_SEQUENCE: Final = max(map(len, SEQUENCES))


@contextmanager
def unbuffered(descriptor: int) -> Iterator[None]:
    """Set the terminal to raw mode in the block: each key at once, no echo, no signals."""
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_keys(descriptor: int) -> list[str] | None:
    """Return the pressed keys, None if the terminal is gone."""
    try:
        data = os.read(descriptor, 1024)
        if data.endswith(b"\x1b") and select.select([descriptor], [], [], 0.02)[0]:
            data += os.read(descriptor, 1024)  # the rest of an arrow key that came in two parts
    except OSError:
        return None
    return list(names_of(data)) if data else None


def names_of(data: bytes) -> Iterator[str]:
    """Split terminal input into keys: printable letters as they are, others by name; unknown ones are dropped."""
    while data:
        for length in range(min(MAX_SEQUENCE, len(data)), 0, -1):
            if name := SEQUENCES.get(data[:length]):
                if name == "escape" and data[1:2] in (b"[", b"O"):
                    length = _end_of_sequence(data)  # noqa: PLW2901 - skip an unknown key
                else:
                    yield name
                data = data[length:]
                break
        else:
            if data[0] >= 0x20:
                yield chr(data[0])
            data = data[1:]


def _end_of_sequence(data: bytes) -> int:
    """Return the length of a control sequence, which ends with its first byte of @ or above."""
    return next((at + 1 for at in range(2, len(data)) if 0x40 <= data[at] <= 0x7E), len(data))
