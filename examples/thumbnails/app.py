"""Makes thumbnails with Pillow: C code that reads what strangers upload, in processes that may crash or grow.

goque supervise app:registry
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import msgspec
from PIL import Image, UnidentifiedImageError

import goque

registry = goque.Registry()
Image.MAX_IMAGE_PIXELS = 10_000_000  # Pillow refuses a picture of twice as many


class Picture(msgspec.Struct):
    """The payload: a picture, the thumbnail to make of it, and how wide that may be."""

    file: str
    thumbnail: str
    width: int


def quarantine(crash: goque.WorkerCrash) -> None:
    """Move a picture that has killed a worker out of everybody's way; goque calls this in a process of its own."""
    if crash.task is not None:
        file = Path(crash.task.payload["file"])
        file.parent.joinpath("quarantine").mkdir(exist_ok=True)
        file.rename(file.parent / "quarantine" / file.name)


@registry.processor(
    "thumbnail",
    workers=2,
    timeout=20,
    max_memory=96,  # MiB: `decoded` keeps pictures, so a worker grows
    max_crashes=1,  # what crashed Pillow once will again
    crash_handler=quarantine,
    no_retry_on=(UnidentifiedImageError, Image.DecompressionBombError),  # it will be no better tomorrow
    store_result=True,
)
def thumbnail(picture: Picture) -> dict[str, int]:
    """Make one thumbnail; the result tells which process made it."""
    write_thumbnail(decoded(picture.file), picture)
    return {"process": os.getpid()}


@registry.processor("scan", workers=1, max_crashes=1, crash_handler=quarantine)
def scan(picture: Picture) -> None:
    """Make a thumbnail of a scan while the scanner starts over in the same file: that is a crash.

    Pillow has mapped the file into its memory, and what it reads there is not there any more: SIGBUS, in C.
    """
    with Image.open(picture.file) as mapped:
        mapped.load()
        scanner_starts_over(Path(picture.file))
        write_thumbnail(mapped, picture)


@functools.lru_cache(maxsize=100)
def decoded(file: str) -> Image.Image:
    """Decode a picture, once for all its thumbnails; whatever is kept here makes the process grow."""
    with Image.open(file) as picture:
        return picture.convert("RGB")


def write_thumbnail(source: Image.Image, picture: Picture) -> None:
    """Write a thumbnail in one step: a task may run again, and half a picture must never be seen."""
    small = source.copy()
    small.thumbnail((picture.width, picture.width))
    path = Path(picture.thumbnail)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    small.save(draft, "JPEG")
    draft.replace(path)


def scanner_starts_over(file: Path) -> None:
    """Do what a program does that rewrites its file in place, instead of writing another and renaming it."""
    os.truncate(file, 0)
