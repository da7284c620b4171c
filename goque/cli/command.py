"""Shared by the commands: options with environment variables, the log level, the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from goque.cli.config_options import key_of, setting_of
from goque.telemetry import logs

if TYPE_CHECKING:
    from goque.storage import TaskStorage

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

LOG_LEVEL: Final = "goque.log_level"
"""The key of the chosen log level in click's `meta`."""


COMMON: Final = ("database_url", "log_level")
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class EnvironmentOption(click.Option):
    """An option that an environment variable can set too: `GOQUE_` and its name in capitals."""

    def __init__(self, param_decls: list[str], **attrs: Any) -> None:
        names = [name for name in param_decls if name.startswith("--")]
        attrs.setdefault("envvar", "GOQUE_" + names[0].removeprefix("--").replace("-", "_").upper())
        super().__init__(param_decls, **attrs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Use the value of a configuration file if neither the command line nor the environment has one."""
        value, source = super().consume_value(ctx, opts)
        if source is ParameterSource.DEFAULT and not ctx.resilient_parsing:
            setting = setting_of(ctx, self)
            if setting is not None:
                return setting.value, ParameterSource.DEFAULT_MAP
        return value, source

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse an empty value on the command line, which usually comes from an unset shell variable."""
        if value == "" and ctx.get_parameter_source(self.name or "") is ParameterSource.COMMANDLINE:
            raise click.BadParameter("the value is empty; give a value, or leave the option out", ctx, self)
        return super().process_value(ctx, value)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name the environment variable or the key of the file that the wrong value came from."""
        source = ctx.get_parameter_source(self.name or "") if ctx is not None else None
        if source is ParameterSource.ENVIRONMENT:
            return f"'{self.envvar}' (the variable of {self.opts[0]})"
        if source is ParameterSource.DEFAULT_MAP and ctx is not None and (setting := setting_of(ctx, self)):
            return f"'{key_of(self)}' of {setting.where}"
        return super().get_error_hint(ctx)


class Command(click.Command):
    """A command with --log-level. The options that all commands have come last in its help.

    Args:
        log_level: the default level.
        settings: see click.Command.
    """

    def __init__(self, *, log_level: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.log_level = log_level
        self.params.append(log_level_option(log_level))
        self.params.sort(key=lambda param: param.name in COMMON)
        example = next(param for param in self.params if isinstance(param, EnvironmentOption))
        self.epilog = (
            f"You can also set each option in the environment, {example.opts[0]} as {example.envvar}, "
            "or in goque.toml: see `goque config --help`. For exit codes see `goque --help`."
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Set up logging, then run the command."""
        logs.configure("goque", log_format="console", level=ctx.meta.get(LOG_LEVEL) or self.log_level)
        return super().invoke(ctx)


option = partial(click.option, cls=EnvironmentOption)


def command(name: str, *, log_level: str = "warning") -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a function a command of this name."""
    return click.command(name, cls=Command, log_level=log_level, context_settings=CONTEXT)


def log_level_option(usual: str) -> EnvironmentOption:
    """Return --log-level, which may stand before the command's name or after it."""
    return EnvironmentOption(
        ["--log-level"],
        type=click.Choice(logs.LEVELS, case_sensitive=False),
        metavar="LEVEL",
        callback=_remember_level,
        expose_value=False,
        help="What to log on stderr: debug, info, warning, error or critical. "
        f"debug adds tracebacks to errors.  [default: {usual}]",
    )


def database_option(function: FunctionT) -> FunctionT:
    """Add --database-url."""
    return option(
        "--database-url",
        metavar="URL",
        help="The database: sqlite:///FILE, postgresql://… or mysql://…  [default: as configured, "
        "or sqlite:///goque.db]",
    )(function)


@contextmanager
def opened_storage(database_url: str | None, registry_url: str | None = None) -> Iterator[TaskStorage]:
    """Open the database of the flag, environment, configuration or registry, and check its schema; close it after."""
    from goque.config import resolve_database_url
    from goque.storage import open_storage

    storage = open_storage(resolve_database_url(database_url, registry_url=registry_url))
    try:
        storage.require_schema()
        yield storage
    finally:
        storage.close()


class Names(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A comma-separated list of names."""

    name = "a,b"

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self.known = known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the list and refuse unknown names."""
        if isinstance(value, tuple):
            return value  # the default
        if isinstance(value, list):  # from a configuration file
            value = ",".join(value)
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if not names:
            self.fail("give at least one name, with commas between several", param, ctx)
        for name in names:
            if self.known and name not in self.known:
                self.fail(f"{name!r} is not one of {', '.join(self.known)}", param, ctx)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last name of the list with known names that are not in the list yet."""
        del ctx, param
        before, comma, last = incomplete.rpartition(",")
        left = [name for name in self.known if name not in before.split(",")]
        return [CompletionItem(f"{before}{comma}{name}") for name in left if name.startswith(last)]


class WholeNumber(click.IntRange):
    """A whole number within bounds."""

    name = "whole number"

    def _describe_range(self) -> str:
        """Format the bounds as words; click's own --help prints inequalities."""
        return f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A time in seconds."""

    name = "seconds"

    def __init__(self, *, zero: bool) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse a value that is no number, is negative, or is not finite."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not self.zero):
            self.fail(
                f"must be {'0 or more' if self.zero else 'more than 0'} seconds, not {value!r}", param, ctx
            )
        return seconds


def _remember_level(ctx: click.Context, param: click.Parameter, level: str | None) -> None:
    weak = (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
    if level is not None and not (
        ctx.get_parameter_source(param.name or "") in weak and LOG_LEVEL in ctx.meta
    ):
        ctx.meta[LOG_LEVEL] = level  # the flag before the command's name wins over both
