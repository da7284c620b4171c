"""Reads the text of a scanned book, one page a step: after a crash on page 17 it goes on at page 17.

goque supervise app:registry
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Final

import msgspec
from PIL import Image, ImageDraw, ImageFont

import goque

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz,. "
CELL: Final = (16, 24)
"""How wide and high the place of one letter is, in pixels."""

registry = goque.Registry()


class Scan(msgspec.Struct):
    """The payload: a TIFF file with a page in each frame, the file for its text, and a page that crashes its reader."""

    file: str
    text: str
    crashes_at: int | None = None


class Page(msgspec.Struct):
    """The value of a step: the text of a page, and the process that has read it."""

    text: str
    process: int


class Book(msgspec.Struct):
    """The result: how many words there are, and how many processes have read them."""

    words: int
    processes: int


@registry.processor(
    "read_book",
    workers=2,
    timeout=3600,  # for the whole book
    stall_timeout=30,  # for a page: after each of them there is a step that has ended, and a progress
    max_attempts=20,  # an attempt is cheap: it goes on where the last one stopped
    retry=goque.retry.static(0),
    store_result=True,
)
def read_book(scan: Scan) -> Book:
    """Read a scan page by page, and write its text."""
    task = goque.current_task()
    assert task is not None
    count = task.step("count", count_pages, scan.file)
    pages = []
    for number in range(count):
        crashes = number == scan.crashes_at and task.attempts == 0
        pages.append(task.step(f"page-{number}", read_page, scan.file, number, crashes=crashes))
        task.progress((number + 1) / count, f"page {number + 1} of {count}")
    text = "\n".join(page.text for page in pages)
    write(Path(scan.text), text)
    return Book(len(text.split()), len({page.process for page in pages}))


def count_pages(file: str) -> int:
    """Return how many pages a scan has."""
    with Image.open(file) as scan:
        return int(getattr(scan, "n_frames", 1))


def read_page(file: str, number: int, *, crashes: bool = False) -> Page:
    """Recognise the letters of one page: each is the one whose picture differs in the fewest pixels."""
    with Image.open(file) as scan:
        scan.seek(number)
        page = scan.convert("1")
    if crashes:
        ctypes.string_at(0)  # as an OCR engine does on a page that nobody has tried: SIGSEGV, no exception
    width, height = CELL
    lines = []
    for top in range(0, page.height - height + 1, height):
        cells = (page.crop((left, top, left + width, top + height)) for left in range(0, page.width, width))
        lines.append("".join(letter_of(bits_of(cell)) for cell in cells).rstrip())
    return Page("\n".join(lines), os.getpid())


def letter_of(cell: int) -> str:
    """Return the letter that a cell most likely shows."""
    return min(ALPHABET, key=lambda letter: (cell ^ pictures()[letter]).bit_count())


@functools.cache
def pictures() -> dict[str, int]:
    """Return the pixels of each letter."""
    return {letter: bits_of(picture_of(letter)) for letter in ALPHABET}


@functools.cache
def picture_of(letter: str) -> Image.Image:
    """Draw a letter as it is printed."""
    picture = Image.new("1", CELL, 1)
    ImageDraw.Draw(picture).text((2, 0), letter, font=font(), fill=0)
    return picture


@functools.cache
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of the book."""
    return ImageFont.load_default(19)


def bits_of(picture: Image.Image) -> int:
    """Return the pixels of a picture as the bits of a number."""
    return int.from_bytes(picture.tobytes())


def write(file: Path, text: str) -> None:
    """Write a file in one go: a task may run again, and nobody should find half a book."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.replace(file)
