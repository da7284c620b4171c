"""The dashboard: web pages that show a queue and let people act on it; needs the extra `dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from goque.registry import Registry

__all__ = ["create_app"]

PACKAGES = ("starlette", "jinja2", "uvicorn", "markupsafe", "anyio", "h11")


def create_app(
    source: Registry | str | None = None,
    *,
    database_url: str | None = None,
    actions: bool | None = None,
    token: str | None = None,
    user_header: str | None = None,
    hosts: frozenset[str] | None = None,
) -> Starlette:
    """Make the dashboard's ASGI app, which you can serve alone or mount under a prefix in another app.

    Args:
        source: the registry, whose periodic jobs are then shown and can be run; or the URL of the database.
        database_url: wins over the registry's own URL.
        actions: whether people may cancel, reset, pause and run. None means yes if there is a `token` or `user_header`.
            Give True for a mounted app if the app around it checks who may enter.
        token: the token that everybody must give, at least 16 characters.
        user_header: the header in which a reverse proxy sends the user's name, such as `X-Forwarded-User`; the app must
            be reachable only through that proxy.
        hosts: the allowed host names in requests; None for any.

    Raises:
        ConfigurationError: an argument is wrong, or the extra `dashboard` is not installed.
    """
    try:
        from goque.dashboard.app import make_app  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise missing_extra() from error
    return make_app(
        source, database_url=database_url, actions=actions, token=token, user_header=user_header, hosts=hosts
    )


def missing_extra() -> ConfigurationError:
    """Return the error for a missing extra."""
    return ConfigurationError("the dashboard needs more packages; pip install 'goque[dashboard]'")
