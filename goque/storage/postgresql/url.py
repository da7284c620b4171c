"""A PostgreSQL URL as the options of a connection: what libpq knows passes through, TLS options too."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from goque.storage.url import ENCODE, malformed, refuse_stray_at

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
    refuse_stray_at(url)
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        _ = (
            "," in parts.netloc or parts.port
        )  # libpq looks at a port when it connects, and takes several hosts
    except ValueError:
        raise malformed(url, "write postgresql://user:password@host:5432/database") from None
    if parts.netloc.count("@") > 1:  # libpq ends the password at the first, and takes the rest for a host
        raise malformed(url, ENCODE)
    values = dict(query)
    for name in values.keys() - _known_parameters():
        raise malformed(url, f"the parameter {name!r:.40} is unknown to goque and libpq")
    notify = values.get("notify", "on").lower()
    if notify not in _SWITCH:
        raise malformed(url, f"notify must be on or off, not {notify!r:.40}")
    rest = urlencode([pair for pair in query if pair[0] != "notify"], quote_via=quote)
    plain = (
        f"postgresql://{parts.netloc}{parts.path}?{rest}"  # urlunsplit leaves // out where no host is named
    )
    try:
        given = conninfo_to_dict(plain)
    except psycopg.Error:  # its text may show the password
        raise malformed(url, ENCODE) from None
    return {
        **DEFAULTS,
        **given,
        "client_encoding": "UTF8",
        "autocommit": True,
        "prepare_threshold": None,
    }, _SWITCH[notify]


def _known_parameters() -> set[str]:
    """Return what libpq takes, and `ssl` (JDBC's, as libpq takes it) and `notify` beside."""
    return {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl", "notify"}
