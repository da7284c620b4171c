"""`goque completion`: the script that makes a shell complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from goque.cli.command import command

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_GOQUE_COMPLETE"
"""Where click looks for what a completion script asks; it makes the name from the program's."""


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete goque's commands, options and their values.

    Task types, ids and apps are not completed: that would ask a database, or import code, at each key.

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
