"""`goque config`: shows each option's value and where it was set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import click
from click.core import ParameterSource

from goque.cli.command import command, option
from goque.cli.database import chosen_app, url_of_app
from goque.cli.output import print_json, print_table
from goque.cli.parameters.config_options import key_of, setting_of
from goque.config import DEFAULT_DATABASE_URL, read_files
from goque.errors import ConfigurationError
from goque.telemetry.logs import one_line

MAIN: Final = "supervise"
SECRETS: Final = ("token", "password", "secret")
UNSET_TEXTS: Final = {
    "database_url": f"the registry's own, or {DEFAULT_DATABASE_URL}",
    "log_level": "info for supervise, else warning",
}


class Value(NamedTuple):
    """An option of a command, its value and source. `value` hides secrets; None means not set."""

    command: str
    option: str
    value: str | None
    source: str


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    del param
    group = ctx.find_root()
    assert isinstance(group.command, click.Group)
    return [name for name in group.command.list_commands(group) if name.startswith(incomplete)]


@command("config")
@click.argument("command_name", metavar="[COMMAND]", required=False, shell_complete=_names)
@option("--json", "as_json", is_flag=True, help="Print a JSON object a line: command, option, value, source.")
@click.pass_context
def config(ctx: click.Context, command_name: str | None, *, as_json: bool) -> None:
    """Show each option's value and where it was set.

    The first of these wins: the command line, the environment, goque.toml, [tool.goque] of pyproject.toml, the default.
    Both files are read in the current directory. Without COMMAND it shows the options of supervise, and the options
    that are set for other commands. Passwords are hidden. An error in a file makes the exit code 2.

    \b
    Examples:
      goque config
      goque config list
      GOQUE_NODE_TIMEOUT=60 goque config --json
    """
    group = ctx.find_root()
    assert isinstance(group.command, click.Group)
    names = group.command.list_commands(group)
    if command_name is not None and command_name not in names:
        raise click.UsageError(f"there is no command {command_name!r:.80}; there is {', '.join(names)}")
    app = chosen_app()
    found = list(_values(group, [command_name] if command_name else names))
    if app is not None:
        found = _with_url_of(app, found)
    main = {one[1:] for one in found if one.command == MAIN}
    shown = [
        one
        for one in found
        if command_name or one.command == MAIN or (one.source != "default" and one[1:] not in main)
    ]
    if as_json:
        for one in shown:
            print_json(one._asdict())
        return
    files = read_files().files
    click.echo(
        f"configuration: {', '.join(files) or 'no goque.toml and no [tool.goque] in pyproject.toml here'}\n"
    )
    print_table(("option", "value", "from"), [_cells(one, command_name or MAIN) for one in shown])


def _with_url_of(app: str, found: list[Value]) -> list[Value]:
    """Name the app's own database where nothing else names one; an app that does not load is a line on stderr."""
    if not any(one.option == "database_url" and one.source == "default" for one in found):
        return found
    try:
        url = url_of_app(app)
    except ConfigurationError as error:
        click.echo(f"goque: {one_line(str(error))}", err=True)
        url = None
    if url is None:
        return found
    own = _text("database_url", url)
    return [
        one._replace(value=own, source=f"the registry of {app}")
        if one.option == "database_url" and one.source == "default"
        else one
        for one in found
    ]


def _cells(one: Value, shown_first: str) -> list[str]:
    name = one.option if one.command == shown_first else f"{one.command}.{one.option}"
    return [name, "-" if one.value is None else one.value, one.source]


def _values(group: click.Context, names: list[str]) -> Iterator[Value]:
    """Yield the options of commands as if each were called without arguments. Raises click.BadParameter."""
    assert isinstance(group.command, click.Group)
    for name in names:
        _name, asked, _rest = group.command.resolve_command(group, [name])
        assert asked is not None
        ctx = click.Context(asked, parent=group, info_name=name)
        for one in asked.params:
            if isinstance(one, click.Option) and one.opts[0] != "--help":
                yield _value(ctx, one)


def _value(ctx: click.Context, one: click.Option) -> Value:
    written, _source = one.consume_value(ctx, {})
    checked, _rest = one.handle_parse_result(ctx, {}, [])
    value = checked if one.is_flag else written
    source = ctx.get_parameter_source(one.name or "")
    key, command_name = key_of(one), ctx.info_name or ""
    if source is ParameterSource.ENVIRONMENT:
        return Value(command_name, key, _text(key, value), str(one.envvar))
    if source is ParameterSource.DEFAULT_MAP and (setting := setting_of(ctx, one)):
        return Value(command_name, key, _text(key, value), setting.where)
    default = one.get_default(ctx)
    is_unset = default in {None, "", ()} or not isinstance(default, str | int | float | tuple)
    return Value(command_name, key, UNSET_TEXTS.get(key) if is_unset else _text(key, default), "default")


def _text(key: str, value: Any) -> str:
    from goque.storage.url import hide_password

    if any(word in key for word in SECRETS):
        return "***"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return one_line(",".join(map(str, value)))
    return one_line(hide_password(str(value)) if key == "database_url" else str(value))
