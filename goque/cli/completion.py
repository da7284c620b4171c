"""`goque completion`: a script with which a shell completes commands, options, values and task types."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class

from goque.cli.command import APP, command, option
from goque.cli.parameters.values import Text, complete_last
from goque.config import DATABASE_VARIABLE, DEFAULT_DATABASE_URL, read_files
from goque.errors import GoqueError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_GOQUE_COMPLETE"
"""The variable in which click expects the request of a completion script; click derives it from the program's name."""

PATIENCE: Final = 2.0
"""Seconds that a key press waits for the types of an app, and then for those of its database."""


@command("completion", knows_app=False)
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete goque's commands, options and their values.

    It completes task types from the database. If only the app names the database, it imports the app. It waits at most
    two seconds for each. It does not complete ids and apps.

    \b
    bash, in ~/.bashrc (4.4 or newer):
      eval "$(goque completion bash)"

    \b
    zsh, in ~/.zshrc, below compinit:
      eval "$(goque completion zsh)"

    \b
    fish, once:
      goque completion fish > ~/.config/fish/completions/goque.fish

    \b
    Example:
      goque completion bash > /etc/bash_completion.d/goque
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "goque", VARIABLE).source())


def complete_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a task type."""
    del param
    return [CompletionItem(name) for name in known_types(ctx) if name.startswith(incomplete)]


def type_option(help_text: str) -> Callable[[FunctionT], FunctionT]:
    """Return the option --type, which shells complete."""
    return option(
        "--type",
        "task_type",
        type=Text(),
        metavar="TYPE",
        shell_complete=complete_types,
        help=help_text,
    )


def complete_type_lists(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several task types with commas between them."""
    del param
    return complete_last(known_types(ctx), incomplete)


def known_types(ctx: click.Context) -> list[str]:
    """Return the types that an unfinished command line is about; none rather than an error."""
    logging.disable()  # the terminal shows a command that somebody is writing
    with suppress(GoqueError, OSError):
        settings = read_files().options
        configured = settings.get("database_url")
        named = configured.value if configured is not None else None
        url = ctx.params.get("database_url") or os.environ.get(DATABASE_VARIABLE) or named
        setting = settings.get("app")
        app = ctx.params.get("app") or ctx.meta.get(APP) or (setting.value if setting else None)
        if url is not None or app is None:
            return _within(PATIENCE, lambda: _types_in(url or DEFAULT_DATABASE_URL))
        return _types_of_app(app)
    return []


def _types_of_app(app: str) -> list[str]:
    """Return the types of an app that alone says where its database is, and those in that database."""
    from goque.cli.isolated_load import read_app

    facts = read_app(app, patience=PATIENCE)
    in_table = _within(PATIENCE, lambda: _types_in(facts.database_url or DEFAULT_DATABASE_URL))
    return sorted({*facts.types, *in_table})


def _types_in(url: str) -> list[str]:
    from goque.cli.database import require_file, types_in
    from goque.storage import open_storage

    require_file(url)
    storage = open_storage(url)
    try:
        return types_in(storage)
    finally:
        storage.close()


def _within(seconds: float, read: Callable[[], list[str]]) -> list[str]:
    """Return what a function returns, or nothing if it fails or takes longer: a server may be far away."""
    found: list[str] = []

    def work() -> None:
        with suppress(GoqueError, OSError):
            found.extend(read())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found)
