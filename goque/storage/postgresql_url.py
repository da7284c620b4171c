"""A PostgreSQL URL as the options of a connection: what libpq knows passes through, TLS options too."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from goque.errors import ConfigurationError
from goque.storage.url import hide_password

DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "fallback_application_name": "goque",
}
"""Seconds, and the last but one in milliseconds; each can be given otherwise in the URL."""

_SWITCH: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def connection_options(url: str) -> tuple[dict[str, Any], bool]:
    """Return the options for `psycopg.connect`, and whether to notify (`?notify=off` says no).

    Raises:
        ConfigurationError: the URL is malformed, or has a parameter that neither goque nor libpq knows.
    """
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        _ = (
            "," in parts.netloc or parts.port
        )  # libpq looks at a port when it connects, and takes several hosts
    except ValueError:
        raise ConfigurationError(
            f"{hide_password(url)!r:.200} is no storage URL; write postgresql://user:password@host:5432/database"
        ) from None
    notify = dict(query).get("notify", "on").lower()
    if notify not in _SWITCH:
        raise ConfigurationError(
            f"notify in {hide_password(url)!r:.200} must be on or off, not {notify!r:.40}"
        )
    rest = urlencode([pair for pair in query if pair[0] != "notify"], quote_via=quote)
    plain = urlunsplit(("postgresql", parts.netloc, parts.path, rest, ""))
    try:
        given = conninfo_to_dict(plain)
    except psycopg.Error as error:
        said = hide_password(str(error).strip().splitlines()[0])
        raise ConfigurationError(f"{hide_password(url)!r:.200} is no storage URL: {said}") from None
    return {
        **DEFAULTS,
        **given,
        "client_encoding": "UTF8",
        "autocommit": True,
        "prepare_threshold": None,
    }, _SWITCH[notify]
