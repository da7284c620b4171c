"""Texts of a drawing: harmless, on one line, and cut to their room by an estimate of their width."""

from __future__ import annotations

import html
import unicodedata
from typing import Final

from goque.dashboard.formats import visible

MAX_TEXT: Final = 300
"""How many characters of a text a tooltip has."""

MAX_ACCENTS: Final = 2
ELLIPSIS: Final = "…"


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text without line ends and invisible characters, cut to a number of characters."""
    shown = visible(_without_towers(" ".join(text[: 4 * limit].split())))
    return shown if len(shown) <= limit and len(text) <= 4 * limit else shown[: limit - 1] + ELLIPSIS


def _without_towers(text: str) -> str:
    """Drop accents after the second on one letter, which would cover what is above and below."""
    if text.isascii():
        return text
    kept: list[str] = []
    height = 0
    for char in text:
        height = height + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        if height <= MAX_ACCENTS:
            kept.append(char)
    return "".join(kept)


def last_characters(text: str, limit: int) -> str:
    """Return the end of a text, which tells apart ids that begin with a time."""
    shown = one_line(text[-limit:])
    return shown if len(text) <= limit and len(shown) <= limit else ELLIPSIS + shown[-limit:]


def escaped(text: str) -> str:
    """Escape a text for SVG, also inside attributes."""
    return html.escape(text, quote=True)


def width_of(text: str, size: float) -> float:
    """Estimate the width of a text in a sans-serif font of a size, rather too wide than too narrow."""
    return sum(map(_em, text)) * size


def fit(text: str, size: float, room: float) -> str:
    """Cut a text with an ellipsis so that it fits into a room."""
    shown = one_line(text)
    if width_of(shown, size) <= room:
        return shown
    left, kept = room - width_of(ELLIPSIS, size), 0
    for char in shown:
        left -= _em(char) * size
        if left < 0:
            break
        kept += 1
    return shown[:kept].rstrip() + ELLIPSIS


def _em(char: str) -> float:
    if char in "iljtfrI.,:;'|!()[]·- ":
        return 0.42
    if char in "mwMW@%&<>+=…":
        return 1.0
    if char.isascii():
        return 0.76 if char.isupper() else 0.68
    if unicodedata.combining(char):
        return 0.0
    return 1.1 if unicodedata.east_asian_width(char) in "WF" else 0.8
