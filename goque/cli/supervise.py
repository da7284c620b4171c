"""`goque supervise`: check the options, then become the supervision tree."""

from __future__ import annotations

from typing import Any

import click

from goque.cli.command import LOG_LEVEL, Seconds, command, database_option, option
from goque.cli.selection import selection_options, supervise_options
from goque.telemetry import logs
from goque_supervisor.settings import ADDRESS, is_address


class HostPort(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """An address to listen on."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is no host with a port from 0 to 65535."""
        if not is_address(str(value)):
            self.fail(f"{value!r} is not {ADDRESS}", param, ctx)
        return str(value)


@command("supervise", log_level="info")
@click.argument("app")
@selection_options
@option(
    "--drain",
    is_flag=True,
    help="Stop, with exit code 0, when nothing is left that could run now or is running.",
)
@option(
    "--shutdown-timeout",
    type=Seconds(zero=True),
    default=30,
    show_default=True,
    help="How long running handlers may go on after SIGTERM; then their tasks are given back.",
)
@option("--http", type=HostPort(), help="Serve /metrics, /healthz and /readyz here.  [default: nowhere]")
@option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="console",
    show_default=True,
    help="Lines for people, or JSON.",
)
@option(
    "--start-method",
    type=click.Choice(("forkserver", "spawn")),
    metavar="METHOD",
    default="forkserver",
    show_default=True,
    help="How workers come to be: forkserver, or spawn, which is slower, and suits apps that start threads at import.",
)
@option(
    "--node-timeout",
    type=Seconds(zero=False),
    default=30,
    show_default=True,
    help="How long a supervisor may be silent before others take its tasks.",
)
@option(
    "--on-lost-lease",
    type=click.Choice(("finish", "kill")),
    default="finish",
    show_default=True,
    help="What becomes of running handlers when the database takes no heartbeat for that long.",
)
@option(
    "--reload",
    is_flag=True,
    help="For development: when a Python file of the app or below the current directory changes, import the app anew "
    "and replace the workers one by one.",
)
@option(
    "--run-dir",
    metavar="DIR",
    help="Where to keep sockets and what a killed supervisor leaves for the next one on DIR to recover; one "
    "supervisor at a time.  [default: a private one of this user's]",
)
@database_option
@click.pass_context
def supervise(ctx: click.Context, /, app: str, **options: Any) -> None:
    """Run the tasks of APP, which is module:attribute, such as app:registry.

    For each task type a fetcher claims tasks and hands them to worker processes. A worker may segfault, be
    killed, hang or leak: its task is charged an attempt with the cause, a replacement starts, and nothing else
    notices. `goque check APP` tells beforehand what would run, `goque top` what runs.

    \b
    Examples:
      goque supervise app:registry
      goque supervise app:registry --types send_email --http 127.0.0.1:9100
      goque supervise app:registry --drain --log-format json
      goque supervise app:registry --reload

    \b
    Signals:
      TERM, INT  stop claiming, let running handlers end within
                 --shutdown-timeout, give the rest back, exit 0
      again      stop now, still giving tasks back
      HUP        replace the workers one by one with freshly imported code
      USR1       log how every process stands, and what it runs
      USR2       claim nothing more, let what runs go on; again: claim on
    """
    from goque.cli import stdio
    from goque_supervisor.launch import exec_supervisor

    stdio.hand_over()
    exec_supervisor(supervise_options(app, ctx.meta.get(LOG_LEVEL) or "info", **options))
