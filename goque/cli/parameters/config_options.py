"""Values for a command's options from the configuration files; flags and the environment win over them."""

from __future__ import annotations

from typing import Final

import click

from goque.config import Setting, Settings, check_name, read_files
from goque.errors import ConfigurationError

WHOLE_NUMBER: Final = "whole number"
DURATION: Final = "duration"
NUMBER_OR_NONE: Final = "N|none"
"""The names of parameter types of goque.cli.parameters.values and .limits."""

_META: Final = "goque.config_options"


def setting_of(ctx: click.Context, option: click.Option) -> Setting | None:
    """Return the value that the files have for an option of the context's command.

    The files are read for the first option, and not at all for --help.

    Raises:
        ConfigurationError: a file is malformed, or has a value of the wrong kind.
    """
    if ctx.parent is None or not isinstance(ctx.parent.command, click.Group):
        return None  # an option of `goque` itself; each command has it too
    if _META not in ctx.meta:
        settings = read_files()
        check_tables(settings, ctx.parent.command.list_commands(ctx.parent))
        ctx.meta[_META] = settings
    setting = settings_of(ctx.command, ctx.meta[_META]).get(key_of(option))
    if setting is not None:
        check_kind(option, setting)
    return setting


def settings_of(command: click.Command, settings: Settings) -> dict[str, Setting]:
    """Return the settings of a command; its own table wins. Raises ConfigurationError for an unknown key in it."""
    names = [key_of(option) for option in command.params if isinstance(option, click.Option)]
    own = settings.tables.get(command.name or "", {})
    for key, setting in own.items():
        check_name(key, names, f"{setting.where} has the unknown key")
    return {key: setting for key, setting in {**settings.options, **own}.items() if key in names}


def check_tables(settings: Settings, commands: list[str]) -> None:
    """Refuse tables that have no command's name. Raises ConfigurationError."""
    for name, table in settings.tables.items():
        where = next((setting.where.partition("] in ")[2] for setting in table.values()), "the configuration")
        if name in ("goque", "tool"):
            raise ConfigurationError(
                f"{where} has a table {name!r}: there, options of all commands stand at the top, without a table, and "
                "options of one command in a table of its name; only pyproject.toml has [tool.goque]"
            )
        check_name(name, commands, f"{where} has the unknown table")


def key_of(option: click.Option) -> str:
    """Return the name of an option in a file: `node_timeout` for --node-timeout."""
    name = next(name for name in option.opts if name.startswith("--"))
    return name.removeprefix("--").replace("-", "_")


def check_kind(option: click.Option, setting: Setting) -> None:
    """Refuse a value whose TOML type does not fit the option. Raises ConfigurationError."""
    value, wants = setting.value, _wanted(option)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    good = {
        "true or false": isinstance(value, bool),
        "a number": number,
        "seconds, or text such as '5m'": number or isinstance(value, str),
        "a number, or 'none'": number or isinstance(value, str),
        "a list of names": isinstance(value, list) and all(isinstance(one, str) for one in value),
        "text": isinstance(value, str),
    }
    if not good[wants] or value == "":
        raise ConfigurationError(f"{key_of(option)} of {setting.where} must be {wants}, not {value!r:.80}")


def _wanted(option: click.Option) -> str:
    if option.is_flag:
        return "true or false"
    if option.type.name == WHOLE_NUMBER:
        return "a number"
    if option.type.name == NUMBER_OR_NONE:
        return "a number, or 'none'"
    if option.type.name == DURATION:
        return "seconds, or text such as '5m'"
    return "a list of names" if option.multiple else "text"
