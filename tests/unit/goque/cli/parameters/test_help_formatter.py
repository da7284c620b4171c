from __future__ import annotations

import click
import pytest

from goque.cli.group import root
from goque.cli.parameters.help_formatter import ProgramContext, in_words_of

TEXT = """Check whether `goque supervise APP` would start.

APP is module:attribute, such as app:registry. You can leave it out
if the app is configured.

See `goque COMMAND --help`, and `goque --help`. An upgrade of goque is no goque bug."""


def context(program: str) -> click.Context:
    return ProgramContext(root, info_name=program, terminal_width=80, **root.context_settings)


def test_a_text_of_goque_itself_stays_as_it_is() -> None:
    assert in_words_of(context("goque"), TEXT) == TEXT


def test_a_text_of_manage_py_names_it_and_leaves_out_the_app() -> None:
    assert (
        in_words_of(context("manage.py goque"), TEXT)
        == """Check whether `manage.py goque supervise` would start.

See `manage.py goque COMMAND --help`, and `manage.py goque --help`. An upgrade of goque is no goque bug."""
    )


@pytest.mark.parametrize("text", ["/usr/bin/goque list", "my-goque list", "goque listens", "goque.toml"])
def test_other_words_are_no_calls(text: str) -> None:
    assert in_words_of(context("manage.py goque"), text) == text


def test_help_is_wrapped_after_the_program_is_named() -> None:
    told = root.get_help(context("manage.py goque"))
    assert "manage.py goque enqueue send_email" in told
    assert " goque check" not in told.replace("manage.py goque", "")
    assert max(len(line) for line in told.splitlines() if not line.startswith("    ")) <= 80
