"""Cuts a video into parts, encodes them side by side, joins them and announces the result: a flow.

goque supervise app:registry
"""

from __future__ import annotations

import ctypes
import os
import shutil
import zlib
from pathlib import Path
from typing import Final

import msgspec

import goque

PART: Final = 256 * 1024
"""How many bytes a part has. A real program would cut at key frames."""

registry = goque.Registry()


class Video(msgspec.Struct):
    """The payload of `cut`: a file, and the folder for what is made of it."""

    file: str
    folder: str


class Part(msgspec.Struct):
    """The payload of `encode`: a part of a video, and where to write it."""

    source: str
    target: str
    crashes: bool = False


class Film(msgspec.Struct):
    """The payload of the tasks after that: the file to make, and the folder with its parts."""

    file: str
    parts: str


@registry.processor("cut", store_result=True)
def cut(video: Video) -> str:
    """Cut a video, and leave the flow behind that makes a film of it; returns the id of the flow."""
    parts = Path(video.folder) / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    film = Film(f"{video.folder}/{Path(video.file).stem}.film", str(parts))
    flow = goque.Flow(f"encode {Path(video.file).name}")
    encoded = [
        flow.add(encode, Part(source, f"{source}.encoded", crashes=number == 1))
        for number, source in enumerate(pieces(video.file, parts))
    ]
    joined = flow.add(join, film, needs=encoded)
    flow.add(announce, film, needs=[joined])
    # also if a part could not be encoded: then join is canceled at once, while other parts are still being encoded
    flow.add(tidy, film, needs=[*encoded, joined], when="ended")
    goque.follow_up(flow)
    return flow.id


def pieces(file: str, folder: Path) -> list[str]:
    """Write the parts of a file, and return their names; a second run writes the same."""
    names = []
    with Path(file).open("rb") as source:
        while data := source.read(PART):
            name = folder / f"{len(names):04}"
            write(name, data)
            names.append(str(name))
    return names


@registry.processor("encode", pool="codecs", timeout=60, max_attempts=3, retry=goque.retry.static(0))
def encode(part: Part) -> str:
    """Encode a part, and return the name of the file: the result should be small, the file need not be."""
    task = goque.current_task()
    if part.crashes and task is not None and task.attempts == 0:
        ctypes.string_at(0)  # as a codec does that reads where it should not: SIGSEGV, no exception
    write(Path(part.target), zlib.compress(Path(part.source).read_bytes(), 9))
    return part.target


@registry.processor("join")
def join(film: Film) -> int:
    """Join the parts, which are in the order of `needs=`; returns how many bytes the film has."""
    task = goque.current_task()
    assert task is not None
    draft = Path(f"{film.file}.{os.getpid()}")
    with draft.open("wb") as target:
        for need in task.needs:
            data = Path(need.result).read_bytes()
            target.write(len(data).to_bytes(4, "big") + data)
    draft.replace(film.file)
    return Path(film.file).stat().st_size


@registry.processor("announce")
def announce(task: goque.Task) -> None:
    """Say that the film is there."""
    print(f"{Path(task.payload['file']).name} is ready: {task.needs[0].result} bytes")


@registry.processor("tidy")
def tidy(film: Film) -> None:
    """Delete the parts, whether or not there is a film."""
    shutil.rmtree(film.parts, ignore_errors=True)


def write(file: Path, data: bytes) -> None:
    """Write a file in one step: a task may run again, and half a part must never be joined."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(file)


def frames(film: str) -> bytes:
    """Return what a film was made of."""
    found, data = [], Path(film).read_bytes()
    while data:
        length, data = int.from_bytes(data[:4], "big"), data[4:]
        found.append(zlib.decompress(data[:length]))
        data = data[length:]
    return b"".join(found)


registry.pool("codecs", workers=2)
