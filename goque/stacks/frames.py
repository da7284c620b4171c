"""The frames of a stack, and how they are read from what the interpreter writes at a signal.

A frame has a file, a line, a function and a line of source. It never has the values of variables.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

MAX_FRAMES: Final = 100
"""The most frames of one stack; the interpreter itself writes no more at a signal."""

_LINE: Final = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_CALLER: Final = "goque/execution/run_handler.py"
_PACKAGE: Final = Path(__file__).parents[1]
_BETWEEN: Final = tuple(f"{_PACKAGE / folder}/" for folder in ("execution", "handlers", "contrib"))
"""Where the calls are between goque's own caller and the handler."""


class Frame(msgspec.Struct, frozen=True):
    """One call of a stack.

    Attributes:
        file: the path of the source file, as the interpreter has it.
        line: the line that runs, 0 if it is not known.
        function: the name of the function.
        code: the source of the line, empty if the file cannot be read.
    """

    file: str
    line: int
    function: str
    code: str = ""


def parse_dump(text: str) -> list[Frame]:
    """Return the frames that faulthandler has written last, the outermost call first."""
    frames: list[Frame] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None:
            file, number, function = found.groups()
            frames.append(
                Frame(_unescape(file), int(number) if number.isdecimal() else 0, _unescape(function))
            )
        elif line.endswith("(most recent call first):"):
            frames = []
    return frames[::-1]


def frames_of_handler(frames: Sequence[Frame]) -> list[Frame]:
    """Leave out the outer calls that are goque's: those that led to the handler."""
    callers = [number for number, frame in enumerate(frames) if frame.file.endswith(_CALLER)]
    if not callers:
        return list(frames)
    start = callers[-1] + 1
    while start < len(frames) and frames[start].file.startswith(_BETWEEN):
        start += 1
    return list(frames[start:]) or list(frames)


def with_source(frames: Iterable[Frame]) -> list[Frame]:
    """Add the source of each line, where its file is a regular one that can be read."""
    return [msgspec.structs.replace(frame, code=_source_of(frame)) for frame in frames]


def frame_lines(frames: Iterable[Frame], indent: str = "  ") -> list[str]:
    """Return the lines that a traceback prints of some frames."""
    lines: list[str] = []
    for frame in frames:
        lines.append(f'{indent}File "{frame.file}", line {frame.line or "?"}, in {frame.function}')
        if frame.code:
            lines.append(f"{indent}  {frame.code}")
    return lines


def _source_of(frame: Frame) -> str:
    if not frame.line or not Path(frame.file).is_file():
        return ""  # code that was made at run time has no file, and a pipe would block
    linecache.checkcache(frame.file)
    return linecache.getline(frame.file, frame.line).strip()


def _unescape(text: str) -> str:
    """Return a text as it was before the interpreter wrote it in ASCII."""
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)
