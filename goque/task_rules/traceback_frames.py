"""The frames in the text of a traceback or of an interpreter's last stack. No I/O happens here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Final

_FRAME: Final = re.compile(r'^\s*File "(?P<path>.*)", line (?P<line>\d+),? in (?P<function>.+)$')
_MARKS: Final = re.compile(r"^[\s~^]*$")
_GROUP_MARGIN: Final = re.compile(r"^\s*[|+]+(-\+?)?\s?")
_FIRST_LEAF: Final = re.compile(r"^\s*\+-\+-+ 1 -+$")
_ANY_LEAF: Final = re.compile(r"^\s*\+(-\+)?-+( (\d+|\.\.\.) -+)?$")
_TRACEBACK: Final = "Traceback (most recent call last):"
_STACK: Final = "(most recent call first):"
_COROUTINE: Final = "Coroutine of task "
_STANDARD_LIBRARY: Final = re.compile(r"/(python|pypy)3\.\d+t?/")
_INSTALLED: Final = re.compile(r"/(site|dist)-packages/")
_OURS: Final = f"{PurePath(__file__).parent.parent}/"
"""The directory of the package goque, whose frames are not the user's."""


@dataclass(frozen=True)
class Frame:
    """One frame: the path of its file, its function, its line of code, empty if not known, and the line's number."""

    path: str
    function: str
    code: str = ""
    line: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether this is code of goque."""
        return self.path.startswith(_OURS) or "/goque_supervisor/" in self.path

    @property
    def is_installed(self) -> bool:
        """Whether this is code of an installed package."""
        return _INSTALLED.search(self.path) is not None

    @property
    def is_users(self) -> bool:
        """Whether this is code of an app that runs from its own directory."""
        return not (self.is_ours or self.is_installed or self._is_of_python)

    @property
    def package(self) -> str:
        """The installed package that it is of; empty for none."""
        return "" if self.is_ours or not self.is_installed else _INSTALLED.split(self.path)[-1].split("/")[0]

    @property
    def _is_of_python(self) -> bool:
        return self.path.startswith("<") or _STANDARD_LIBRARY.search(self.path) is not None

    @property
    def place(self) -> str:
        """The file, function and code, without what changes from deploy to deploy: directories and line numbers."""
        path = PurePath(self.path)
        is_package = path.stem in ("__init__", "__main__") and path.parent.name
        file = f"{path.parent.name}/{path.name}" if is_package else path.name
        return f"{file} in {self.function}: {self.code}" if self.code else f"{file} in {self.function}"


def failing_frame(text: str) -> Frame | None:
    """Return the frame of a traceback or stack where the user's own code failed; None without any frame.

    That is the last frame of code that neither is installed nor belongs to Python or goque. Of an app that is itself
    an installed package, it is the last frame of the package whose code goque called. If there is none of these either,
    it is the last frame.
    """
    frames = _frames_of(text)
    package = next((frame.package for frame in frames if frame.package), "")
    users = [frame for frame in frames if frame.is_users]
    of_package = [frame for frame in frames if package and frame.package == package]
    return next(reversed(users or of_package or frames), None)


def leaf_class(text: str) -> str:
    """Return the class of the first exception in the traceback of a group; empty for another traceback."""
    leaf = _first_leaf(text.splitlines())
    ends = [line for line in leaf if line and not line.startswith(" ") and line != _TRACEBACK]
    return ends[0].partition(":")[0] if ends else ""


def _frames_of(text: str) -> Sequence[Frame]:
    """Return the frames of the exception that a traceback is about, or of the thread that a stack is about."""
    lines = text.splitlines()
    if any(_STACK in line for line in lines):
        return _frames_of_stack(lines)
    if leaf := _first_leaf(lines):
        return list(_frames(leaf))
    starts = [number for number, line in enumerate(lines) if line == _TRACEBACK]
    return list(_frames(lines[starts[-1] :] if starts else lines))


def _frames_of_stack(lines: Sequence[str]) -> Sequence[Frame]:
    """Return the frames of the thread that failed; if it only ran an event loop, those of the handler's coroutine."""
    starts = [number for number, line in enumerate(lines) if _STACK in line]
    parts = [lines[start:end] for start, end in pairwise([*starts, len(lines)])]
    current = [part for part in parts if part[0].lstrip().startswith("Current thread")]
    of_thread = list(_frames((current or parts[-1:])[0]))[::-1]  # the main thread comes last
    coroutines = [part for part in parts if part[0].startswith(_COROUTINE)]
    if coroutines and not any(frame.is_users for frame in of_thread):
        return list(_frames(coroutines[-1]))[::-1]
    return of_thread


def _first_leaf(lines: Sequence[str]) -> Sequence[str]:
    """Return the traceback of the first exception in a group, without the margin; of nested groups, of the inmost."""
    starts = [number for number, line in enumerate(lines) if _FIRST_LEAF.match(line)]
    if not starts:
        return ()
    end = next(
        (number for number in range(starts[-1] + 1, len(lines)) if _ANY_LEAF.match(lines[number])), len(lines)
    )
    return [_GROUP_MARGIN.sub("", line) for line in lines[starts[-1] + 1 : end]]


def _frames(lines: Sequence[str]) -> Iterator[Frame]:
    for number, line in enumerate(lines):
        if (found := _FRAME.match(line)) is not None:
            below = lines[number + 1] if number + 1 < len(lines) else ""
            yield Frame(found["path"], found["function"], _code(below), int(found["line"]))


def _code(line: str) -> str:
    is_code = line.startswith("    ") and _MARKS.match(line) is None and _FRAME.match(line) is None
    return " ".join(line.split()) if is_code else ""
