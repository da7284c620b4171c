"""Shared by the commands: options with environment variables, the app, the log level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import click
from click.core import ParameterSource

from goque.cli.parameters.config_options import key_of, setting_of
from goque.cli.parameters.help_formatter import APP_ARGUMENT, ProgramContext, knows_its_app
from goque.telemetry import logs

LOG_LEVEL: Final = "goque.log_level"
"""The key of the chosen log level in click's `meta`."""


APP: Final = "goque.app"
"""The key in click's `meta` of the app that --app, the environment or a file names."""

COMMON: Final = ("database_url", "configured_app", "log_level")
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


class ListOption(EnvironmentOption):
    """An option that takes a list with commas, and may be given several times: the lists add up.

    The type of its value makes a tuple of each list.
    """

    def __init__(self, param_decls: list[str], **attrs: Any) -> None:
        super().__init__(param_decls, multiple=True, **attrs)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Make one tuple of all lists, without repeats."""
        source = ctx.get_parameter_source(self.name or "")
        if source is ParameterSource.DEFAULT_MAP and not value:
            raise click.BadParameter("give at least one name", ctx, self)
        if source is ParameterSource.COMMANDLINE and "" in value:
            raise click.BadParameter("the value is empty; give a value, or leave the option out", ctx, self)
        lists = super().process_value(ctx, value) or ()
        return tuple(dict.fromkeys(one for part in lists for one in part))


class Command(click.Command):
    """A command with --app and --log-level. The options that all commands have come last in its help.

    Args:
        log_level: the default level.
        knows_app: whether it has --app.
        settings: see click.Command.
    """

    context_class = ProgramContext

    def __init__(self, *, log_level: str, knows_app: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.log_level = log_level
        self.params += [*[app_option()] * knows_app, log_level_option(log_level)]
        self.params.sort(key=lambda param: param.name in COMMON)
        example = next(param for param in self.params if isinstance(param, EnvironmentOption))
        self.epilog = (
            f"You can also set each option in the environment, {example.opts[0]} as {example.envvar}, "
            "or in goque.toml: see `goque config --help`. For exit codes see `goque --help`."
        )

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Leave out the app where the program gives it."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece for piece in pieces if not (piece == APP_ARGUMENT and knows_its_app(ctx))]

    def invoke(self, ctx: click.Context) -> Any:
        """Set up logging, then run the command."""
        logs.configure("goque", log_format="console", level=ctx.meta.get(LOG_LEVEL) or self.log_level)
        return super().invoke(ctx)


option = partial(click.option, cls=EnvironmentOption)
list_option = partial(click.option, cls=ListOption)


def command(
    name: str, *, log_level: str = "warning", knows_app: bool = True
) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a function a command of this name."""
    return click.command(
        name, cls=Command, log_level=log_level, knows_app=knows_app, context_settings=CONTEXT
    )


def app_option() -> EnvironmentOption:
    """Return --app, from which every command knows where the tasks of an app are."""
    return EnvironmentOption(
        ["--app", "configured_app"],
        metavar="MODULE:ATTR",
        callback=_remember_app,
        expose_value=False,
        help="The app, such as app:registry. Its registry names the database, unless --database-url does.",
    )


def log_level_option(usual: str) -> EnvironmentOption:
    """Return --log-level, which may stand before the command's name or after it."""
    return EnvironmentOption(
        ["--log-level"],
        type=click.Choice(logs.LEVELS, case_sensitive=False),
        metavar="LEVEL",
        callback=_remember_level,
        expose_value=False,
        help="The lowest level to log on stderr: debug, info, warning, error or critical. "
        f"debug adds tracebacks to errors.  [default: {usual}]",
    )


def _remember_app(ctx: click.Context, param: click.Parameter, app: str | None) -> None:
    del param
    if app:
        ctx.meta[APP] = app


def _remember_level(ctx: click.Context, param: click.Parameter, level: str | None) -> None:
    weak = (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
    if level is not None and not (
        ctx.get_parameter_source(param.name or "") in weak and LOG_LEVEL in ctx.meta
    ):
        ctx.meta[LOG_LEVEL] = level  # the flag before the command's name wins over both
