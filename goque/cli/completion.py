"""`goque completion`: a script with which a shell completes commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from goque.cli.command import command

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_GOQUE_COMPLETE"
"""The variable in which click expects the request of a completion script; click derives it from the program's name."""


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes goque's commands, options and their values.

    It does not complete task types, ids and apps: that would query a database or import code at each key.

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
