"""The command group `goque`: the list of commands, and how their errors are printed."""

from __future__ import annotations

import errno
import importlib
import traceback
from typing import Any, Final, NamedTuple, NoReturn

import click

from goque.cli.command import CONTEXT, LOG_LEVEL, log_level_option
from goque.cli.parameters.help_formatter import ProgramContext, in_words_of, knows_its_app
from goque.errors import GoqueError
from goque.telemetry.logs import one_line, text_of
from goque.version import __version__

INTERRUPTED: Final = 130  # the exit code that a shell reports after Ctrl-C


class Entry(NamedTuple):
    """The place of a command as `module:attribute`, and its line in `goque --help`."""

    place: str
    summary: str


COMMANDS: Final = {
    "supervise": Entry("supervise:supervise", "Run the supervision tree of an app."),
    "migrate": Entry("migrate:migrate", "Create or upgrade the schema."),
    "enqueue": Entry("enqueue:enqueue", "Add one task, or one for each line of a file."),
    "list": Entry("list_tasks:list_tasks", "List tasks, newest first."),
    "show": Entry("show:show", "Show one task and its failed attempts."),
    "flow": Entry("flow:flow", "Show a flow and its tasks."),
    "replay": Entry("replay.command:replay", "Run a task again, and write nothing to the table."),
    "cancel": Entry("changes:cancel", "Cancel tasks, running ones too."),
    "reset": Entry("changes:reset", "Make failed or finished tasks new again."),
    "delete": Entry("changes:delete", "Delete tasks that have ended."),
    "stack": Entry("stack.command:stack", "Show what a running task does now."),
    "signal": Entry("steps.signal_command:signal", "Send a signal to a task whose handler waits for it."),
    "stats": Entry("stats:stats", "Count tasks by type and status."),
    "top": Entry("top.command:top", "Show waiting and running tasks, live."),
    "pause": Entry("pause:pause", "Stop a task type on all nodes."),
    "resume": Entry("pause:resume", "Start a paused task type again on all nodes."),
    "failures": Entry("failures.command:failures", "List failed attempts, grouped by what failed."),
    "limits": Entry("limits:limits", "Show limits and their keys, with running and waiting tasks."),
    "limit": Entry("limits:limit", "Change the limits of a task type on all nodes."),
    "schedules": Entry("schedules:schedules", "List periodic jobs and their next runs; pause them."),
    "run-job": Entry("schedules:run_job", "Run one periodic job by hand."),
    "dashboard": Entry("dashboard:dashboard", "Serve a web page that shows the queue and lets people act."),
    "check": Entry("check:check", "Check an app, its database and its schema."),
    "config": Entry("config:config", "Show each option's value and where it was set."),
    "completion": Entry("completion:completion", "Print the completion script of a shell."),
    "demo": Entry("demo.command:demo", "Take a tour: a success, a retry and a crash."),
}

EPILOG: Final = """\b
Start here:
  goque demo                                  tasks that succeed, retry, crash
  goque enqueue send_email '{"to": "a@b.c"}'  add a task
  goque check app:registry                    check that the app would run
  goque supervise app:registry                run tasks until Ctrl-C

\b
Name the app once, and every command looks into its database:
  --app app:registry, GOQUE_APP, or app = "app:registry" in goque.toml

\b
Exit codes:
  0  done, or stopped as asked
  1  the command failed
  2  usage: a wrong flag, app, URL or option
  3  the database cannot be reached, or its schema is missing or out of date
  4  the supervision tree gave up

\b
The value of an option is the first of these that is set:
  the command line: --node-timeout 60
  the environment: GOQUE_NODE_TIMEOUT=60
  goque.toml, or [tool.goque] of pyproject.toml: node_timeout = 60
  the default; for --database-url the app's own, or sqlite:///goque.db

`goque config` shows the values in use.

`goque COMMAND --help` explains each command.
"""


class LazyGroup(click.Group):
    """Imports a command when it is used, and prints an error as one line with an exit code."""

    context_class = ProgramContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the commands in the order in which a new user needs them."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Replace the entry, which has only a summary, by the command itself."""
        name, entry, rest = super().resolve_command(ctx, args)
        return name, entry and load(entry.name or ""), rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; only click's own exceptions leave this method."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not knows_its_app(ctx):
                raise
            raise click.UsageError(in_words_of(ctx, error.format_message()), error.ctx) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly
            _fail(ctx, error)
        except Exception as error:  # noqa: BLE001 - the last place that can print it as one line
            _fail(ctx, error)


def load(name: str) -> click.Command:
    """Import a command."""
    file, _, attribute = COMMANDS[name].place.partition(":")
    module = f"goque.cli.{file}"
    try:
        command: click.Command = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise GoqueError(
            f"the command {name} is not part of this installation; install goque again"
        ) from error
    return command


def _fail(ctx: click.Context, error: Exception) -> NoReturn:
    """Print the error as one line, with a traceback at --log-level debug, and exit."""
    expected = isinstance(error, GoqueError)
    text = in_words_of(ctx, one_line(text_of(error))) or type(error).__name__
    debugging = ctx.meta.get(LOG_LEVEL) == "debug"
    if debugging:
        for line in "".join(traceback.format_exception(error)).splitlines():
            click.echo(one_line(line), err=True)
    if not expected:
        text = f"{type(error).__name__}: {text}"
        text += "" if debugging else " (this is a bug of goque; --log-level debug shows the traceback)"
    click.echo(f"goque: {text}", err=True)
    ctx.exit(error.exit_code if isinstance(error, GoqueError) else 1)


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings=CONTEXT,
    params=[log_level_option("warning; info for supervise")],
    commands={name: click.Command(name, short_help=entry.summary) for name, entry in COMMANDS.items()},
)
@click.version_option(__version__, message="goque %(version)s")
def root() -> None:
    """Run durable background tasks, backed by the SQL database that you already have.

    A task is a row of a table: a type and a JSON payload. `goque supervise` runs the handlers of an app in worker
    processes. A worker can crash, hang or leak without losing a task.
    """
