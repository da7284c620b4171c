"""`goque supervise`: checks the options, then replaces this process by the supervision tree."""

from __future__ import annotations

from typing import Any

import click

from goque.cli.command import LOG_LEVEL, command, option
from goque.cli.database import database_option, required_app
from goque.cli.parameters.values import Seconds
from goque.cli.selection import selection_options, supervise_options
from goque.telemetry import logs
from goque_supervisor.settings import ADDRESS, is_address


class HostPort(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """An address to listen on."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a value that is no host with a port from 0 to 65535."""
        if not is_address(str(value)):
            self.fail(f"{value!r} is not {ADDRESS}", param, ctx)
        return str(value)


@command("supervise", log_level="info")
@click.argument("app", required=False)
@selection_options
@option(
    "--drain",
    is_flag=True,
    help="Stop with exit code 0 when no task is due and none is running.",
)
@option(
    "--shutdown-timeout",
    type=Seconds(zero=True),
    default=30,
    show_default=True,
    help="How long running handlers may continue after SIGTERM. Then their tasks are requeued.",
)
@option("--http", type=HostPort(), help="Serve /metrics, /healthz and /readyz here.  [default: nowhere]")
@option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="console",
    show_default=True,
    help="Log lines as text or as JSON.",
)
@option(
    "--start-method",
    type=click.Choice(("forkserver", "spawn")),
    metavar="METHOD",
    default="forkserver",
    show_default=True,
    help="How to start workers: forkserver, or spawn, which is slower but safe for apps that start threads at import.",
)
@option(
    "--node-timeout",
    type=Seconds(zero=False),
    default=30,
    show_default=True,
    help="How long a supervisor may send no heartbeat before others take its tasks.",
)
@option(
    "--on-lost-lease",
    type=click.Choice(("finish", "kill")),
    default="finish",
    show_default=True,
    help="What to do with running handlers if this supervisor could write no heartbeat for --node-timeout.",
)
@option(
    "--heal-unpublished",
    type=Seconds(zero=False),
    metavar="SECONDS",
    help="Return running tasks without an owner after this time, even if no supervisor has ever run their type. Give "
    "more time than the longest handler of the Go library takes.  [default: never]",
)
@option(
    "--reload",
    is_flag=True,
    help="For development: reload the app and replace the workers when a Python file of the app or below the "
    "current directory changes.",
)
@option(
    "--run-dir",
    metavar="DIR",
    help="The directory for sockets and recovery files. If this supervisor is killed, the next one with the same DIR "
    "recovers its tasks. Only one supervisor at a time can use DIR.  [default: a private directory of this user]",
)
@database_option
@click.pass_context
def supervise(ctx: click.Context, /, app: str | None, **options: Any) -> None:
    """Run the tasks of an app.

    APP is module:attribute, such as app:registry. You can leave it out if the app is configured.

    For each task type a fetcher claims tasks and sends them to worker processes. If a worker crashes, hangs or is
    killed, its task loses one attempt, a new worker starts, and no other task is affected. `goque check APP` shows
    what would run. `goque top` shows running tasks.

    \b
    Examples:
      goque supervise app:registry
      goque supervise app:registry --types send_email --http 127.0.0.1:9100
      goque supervise app:registry --drain --log-format json
      goque supervise app:registry --reload

    \b
    Signals:
      TERM, INT  stop claiming, let running handlers end within
                 --shutdown-timeout, requeue the rest, exit 0
      again      stop now, and still requeue tasks
      HUP        replace the workers one by one with freshly imported code
      USR1       log the state of every process and what it runs
      USR2       stop claiming; running tasks continue; again: resume
    """
    from goque.cli import stdio
    from goque_supervisor.launch import exec_supervisor

    app = required_app(app)
    stdio.hand_over()
    exec_supervisor(supervise_options(app, ctx.meta.get(LOG_LEVEL) or "info", **options))
