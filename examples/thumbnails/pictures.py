"""Draws the pictures of the example: photos, and three files that go wrong.

As a program it prints one payload a line, of the photos and the two that Pillow refuses:

    python pictures.py out | goque enqueue thumbnail --jsonl -
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec
from app import Picture
from PIL import Image

PHOTOS: Final = 12
WIDTHS: Final = (64, 320)


def draw(out: Path) -> tuple[list[Picture], Picture]:
    """Draw all pictures; returns the payloads of type `thumbnail`, and the one of type `scan`."""
    out.mkdir(parents=True, exist_ok=True)
    files = [photo(out, number) for number in range(PHOTOS)]
    pictures = [asked_for(file, width) for file in files for width in WIDTHS]
    refused = [asked_for(file, WIDTHS[0]) for file in (no_picture(out), bomb(out))]
    return pictures + refused, asked_for(scanned(out), WIDTHS[0])


def photo(out: Path, number: int) -> Path:
    """Draw a photo of 6 megapixels, each of another colour: 18 MB when it is decoded."""
    hue = Image.new("L", (256, 256), number * 255 // PHOTOS)
    colours = Image.merge("HSV", (hue, Image.linear_gradient("L"), Image.radial_gradient("L")))
    file = out / f"photo-{number:02}.jpg"
    colours.convert("RGB").resize((3000, 2000)).save(file)
    return file


def no_picture(out: Path) -> Path:
    """Write a file that says it is a picture, and is not."""
    file = out / "letter.jpg"
    file.write_text("Dear Sir or Madam,\n", "utf-8")
    return file


def bomb(out: Path) -> Path:
    """Draw a decompression bomb: a small file that would be 25 MB of pixels."""
    file = out / "bomb.png"
    Image.new("L", (5000, 5000)).save(file)
    return file


def scanned(out: Path) -> Path:
    """Draw a scan: not compressed, so that Pillow maps the file instead of reading it."""
    file = out / "scan.pgm"
    Image.linear_gradient("L").resize((1600, 1200)).save(file)
    return file


def asked_for(file: Path, width: int) -> Picture:
    """Say where a picture's thumbnail goes."""
    return Picture(str(file), str(file.parent / "thumbnails" / f"{file.stem}-{width}.jpg"), width)


if __name__ == "__main__":
    for picture in draw(Path(sys.argv[1]).resolve())[0]:
        sys.stdout.write(msgspec.json.encode(picture).decode() + "\n")
