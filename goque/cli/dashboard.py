"""`goque dashboard`: the web page, served by uvicorn."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from goque.cli.command import command, list_option, option
from goque.cli.database import chosen_app, database_option, find_database_url, require_file
from goque.cli.parameters.values import Names, WholeNumber
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
    "--token",
    metavar="TEXT",
    help="Let in only people who give this token. Prefer GOQUE_TOKEN: other users of the machine can see options.",
)
@option(
    "--user-header",
    metavar="NAME",
    help="Let in only users whose name a reverse proxy puts into this header, such as X-Forwarded-User.",
)
@list_option(
    "--hosts",
    type=Names(),
    metavar="A,B",
    help="Answer requests for these host names only, and for localhost. Needed if a proxy on this machine "
    "keeps the Host header.",
)
@option(
    "--read-only",
    is_flag=True,
    help="Make the page read-only: nobody can cancel, reset, pause or run anything.",
)
@option(
    "--root-path",
    default="",
    metavar="PATH",
    help="The path under which a proxy serves the page, such as /goque.",
)
@database_option
def dashboard(  # noqa: PLR0917 - click gives them by name
    app: str | None,
    host: str,
    port: int,
    token: str | None,
    user_header: str | None,
    hosts: tuple[str, ...],
    root_path: str,
    database_url: str | None,
    *,
    read_only: bool,
) -> None:
    """Serve a web page that shows the queue, by default on loopback only.

    APP is module:attribute, such as app:registry. You can leave it out if the app is configured.

    With an app the page also shows the next runs of its periodic jobs, and people can run them.
    On loopback everybody on this machine may act. On other addresses the page is read-only without --token or
    --user-header. Each action is logged with the name of the user.

    \b
    Examples:
      goque dashboard
      goque dashboard app:registry --port 8000
      GOQUE_TOKEN=… goque dashboard --host 0.0.0.0
    """
    from goque.cli.isolated_load import load_isolated
    from goque.dashboard import PACKAGES, create_app, missing_extra

    try:
        from goque.dashboard.server import serve
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise missing_extra() from error
    app = chosen_app(app)
    registry = load_isolated(app) if app else None
    database_url = find_database_url(database_url, registry)
    is_loopback = host in LOOPBACK
    proven = token is not None or user_header is not None
    with _listen(host, port) as listening:
        made = create_app(
            registry,
            database_url=database_url,
            actions=not read_only and (is_loopback or proven),
            token=token,
            user_header=user_header,
            hosts=_host_names(hosts, is_checked=is_loopback and token is None),
        )
        require_file(database_url, app)
        _require_schema(made)
        _announce(host, listening.getsockname()[1], root_path)
        if not is_loopback and not proven:
            click.echo(
                "everybody who can reach this page can read all payloads; consider --token or --user-header",
                err=True,
            )
        signal.signal(
            signal.SIGTERM, lambda *_: None
        )  # at its end uvicorn sends itself again the signal that it got
        with suppress(KeyboardInterrupt):  # it stopped in order, as asked
            serve(made, listening, root_path=root_path.rstrip("/"), trusts_proxy=user_header is not None)


def _announce(host: str, port: int, root_path: str) -> None:
    at = f"[{host}]" if ":" in host else host
    click.echo(f"goque dashboard on http://{at}:{port}{root_path}/ (Ctrl-C stops it)", err=True)


def _host_names(given: tuple[str, ...], *, is_checked: bool) -> frozenset[str] | None:
    """Return the names to answer to, None for any: a web page can point a name of its own to this machine."""
    if not given and not is_checked:
        return None
    return frozenset((*LOOPBACK, *given))


def _require_schema(made: Starlette) -> None:
    """Raise now an error that every page would raise."""
    made.state.dashboard.ready_storage().ping()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # connections wait here until uvicorn is ready
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"--host {host} --port {port} cannot be opened: {error.strerror or error}; choose another host or port"
        ) from error
    return listening
