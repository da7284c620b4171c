"""Texts that are harmless, short, and fit their room."""

from __future__ import annotations

import pytest

from goque.dashboard.flow.texts import MAX_TEXT, escaped, fit, last_characters, one_line, width_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("send_email", "send_email"),
        ("two\n lines\t", "two lines"),
        ("a\x00b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("任务", "任务"),
        ("a" + "\u0301" * 50 + "b", "a\u0301\u0301b"),
    ],
)
def test_a_text_is_on_one_line_without_invisible_characters(text, shown):
    assert one_line(text) == shown


def test_a_long_text_is_cut_with_an_ellipsis():
    assert one_line("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert one_line("x" * (MAX_TEXT + 1)) == "x" * (MAX_TEXT - 1) + "…"
    assert one_line("\x00" * 10_000).endswith("…")
    assert len(one_line("\x00" * 10_000)) == MAX_TEXT
    assert one_line(" " * 10_000 + "x").endswith("…")


@pytest.mark.parametrize("text", ["W" * 100, "任" * 100, "i" * 1000, "a b " * 100, "\u202e" * 50])
def test_a_text_fits_its_room(text):
    shown = fit(text, 13, 120)
    assert shown.endswith("…")
    assert 60 < width_of(shown, 13) <= 120


def test_a_text_that_fits_is_not_cut():
    assert fit("encode", 13, 120) == "encode"


def test_of_an_id_its_end_is_shown():
    assert last_characters("0198f3c2-7a6b-7c3d", 8) == "…a6b-7c3d"
    assert last_characters("short", 8) == "short"
    assert last_characters("\x00" * 30, 8) == "…\\x00\\x00"


def test_markup_is_escaped_also_for_attributes():
    assert escaped("<a href=\"x\" title='y'>&") == "&lt;a href=&quot;x&quot; title=&#x27;y&#x27;&gt;&amp;"
