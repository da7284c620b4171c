"""Prints books that make no sense, and scans them badly.

python scans.py FILE [PAGES]
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Final

from app import ALPHABET, CELL, picture_of
from PIL import Image

COLUMNS: Final = 40
LINES: Final = 16
SPECKS: Final = 0.005
"""The part of the pixels that the scanner gets wrong."""


def write_scan(file: Path, pages: int, seed: int = 1) -> list[str]:
    """Write a scan of so many pages, the same each time; return their texts."""
    chance = random.Random(seed)
    texts = ["\n".join(line(chance) for _ in range(LINES)) for _ in range(pages)]
    first, *others = [scanned(text, chance) for text in texts]
    first.save(file, "TIFF", compression="group4", save_all=True, append_images=others)
    return texts


def line(chance: random.Random) -> str:
    """Make up a line of text."""
    words: list[str] = []
    while sum(len(word) + 1 for word in words) < COLUMNS - 10:
        words.append("".join(chance.choices(ALPHABET[:26], k=chance.randint(2, 8))))
    return f"{', '.join(words[:2])} {' '.join(words[2:])}."[:COLUMNS]


def scanned(text: str, chance: random.Random) -> Image.Image:
    """Print a page, and put specks on it as a scanner with dust does."""
    width, height = CELL
    page = Image.new("1", (COLUMNS * width, LINES * height), 1)
    for row, written in enumerate(text.splitlines()):
        for column, letter in enumerate(written):
            page.paste(picture_of(letter), (column * width, row * height))
    for _ in range(int(page.width * page.height * SPECKS)):
        at = chance.randrange(page.width), chance.randrange(page.height)
        page.putpixel(at, chance.getrandbits(1))
    return page


if __name__ == "__main__":
    write_scan(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12)
