"""`goque dashboard`: the web page, served by uvicorn."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from goque.cli.command import WholeNumber, command, database_option, option
from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
PORT: Final = 9180


@command("dashboard", log_level="info")
@click.argument("app", required=False)
@option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on.")
@option(
    "--port",
    type=WholeNumber(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="The port; 0 for any.",
)
@option(
    "--token", metavar="TEXT", help="Let in only who gives this. Better GOQUE_TOKEN: others can see flags."
)
@option(
    "--user-header",
    metavar="NAME",
    help="Let in only whom a reverse proxy names in this header, such as X-Forwarded-User.",
)
@option("--read-only", is_flag=True, help="Let nobody cancel, reset, pause or run anything.")
@option("--root-path", default="", metavar="PATH", help="Where a proxy shows this, such as /goque.")
@database_option
def dashboard(  # noqa: PLR0917 - click gives them by name
    app: str | None,
    host: str,
    port: int,
    token: str | None,
    user_header: str | None,
    root_path: str,
    database_url: str | None,
    *,
    read_only: bool,
) -> None:
    """Serve a web page that shows what the queue does, on loopback unless told otherwise.

    With APP, which is module:attribute, it also shows the next runs of periodic jobs, and can run them. On loopback
    everybody on this machine may act. Elsewhere it is read-only, unless people prove who they are by --token or
    --user-header. What anybody does is a line of the log.

    \b
    Examples:
      goque dashboard
      goque dashboard app:registry --port 8000
      GOQUE_TOKEN=… goque dashboard --host 0.0.0.0
    """
    from goque.cli.isolated_load import load_isolated
    from goque.dashboard import create_app, missing_extra

    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise missing_extra() from error
    registry = load_isolated(app) if app else None
    is_loopback = host in LOOPBACK
    proven = token is not None or user_header is not None
    made = create_app(
        registry,
        database_url=database_url,
        actions=not read_only and (is_loopback or proven),
        token=token,
        user_header=user_header,
        hosts=frozenset((*LOOPBACK, "[::1]")) if is_loopback and not proven else None,
    )
    _require_schema(made)
    with _listen(host, port) as listening:
        at = f"[{host}]" if ":" in host else host
        click.echo(
            f"goque dashboard on http://{at}:{listening.getsockname()[1]}{root_path}/ (Ctrl-C stops it)",
            err=True,
        )
        if not is_loopback and not proven:
            click.echo(
                "whoever can reach this can read all payloads: think of --token or --user-header", err=True
            )
        config = uvicorn.Config(
            made,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            root_path=root_path.rstrip("/"),
        )
        signal.signal(
            signal.SIGTERM, lambda *_: None
        )  # uvicorn sends itself what it was sent when it has ended
        with suppress(KeyboardInterrupt):  # it was asked to stop, and has stopped in order
            uvicorn.Server(config).run([listening])


def _require_schema(made: Starlette) -> None:
    """Say at once what would fail on every page."""
    made.state.dashboard.ready_storage().ping()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # whoever comes before uvicorn is ready waits a moment
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"--host {host} --port {port} cannot be opened: {error.strerror or error}; choose another host or port"
        ) from error
    return listening
