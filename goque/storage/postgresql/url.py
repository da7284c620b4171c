"""A PostgreSQL URL as the options of a connection: what libpq knows passes through, TLS options too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from goque.storage.url import ENCODE, addresses_of, malformed, refuse_stray_at, split_authority

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

EXAMPLE: Final = "postgresql://user:password@host:5432/database"
ATTRS_VARIABLE: Final = "PGTARGETSESSIONATTRS"
_SWITCH: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def connection_options(url: str) -> tuple[dict[str, Any], bool]:
    """Return the options for `psycopg.connect`, and whether to notify (`?notify=off` says no).

    Raises:
        ConfigurationError: the URL is malformed, or has a parameter that neither goque nor libpq knows.
    """
    refuse_stray_at(url)
    addresses_of(url, EXAMPLE)  # libpq looks at a port when it connects
    authority, rest = split_authority(url)
    if authority.count("@") > 1:  # libpq ends the password at the first, and takes the rest for a host
        raise malformed(url, ENCODE)
    parts = urlsplit(f"//{rest}")  # without the hosts, for it refuses several of IPv6
    query = parse_qsl(parts.query, keep_blank_values=True)
    values = dict(query)
    for name in values.keys() - _known_parameters():
        raise malformed(url, f"the parameter {name!r:.40} is unknown to goque and libpq")
    notify = values.get("notify", "on").lower()
    if notify not in _SWITCH:
        raise malformed(url, f"notify must be on or off, not {notify!r:.40}")
    parameters = urlencode([pair for pair in query if pair[0] != "notify"], quote_via=quote)
    plain = f"postgresql://{authority}{parts.path}?{parameters}"  # urlunsplit leaves // out where no host is named
    try:
        given = conninfo_to_dict(plain)
    except psycopg.Error:  # its text may show the password
        raise malformed(url, ENCODE) from None
    return {
        **DEFAULTS,
        **_only_writable(given),
        **given,
        "client_encoding": "UTF8",
        "autocommit": True,
        "prepare_threshold": None,
    }, _SWITCH[notify]


def _only_writable(given: Mapping[str, Any]) -> dict[str, str]:
    """Have libpq pass over hosts that take no writes, where several are named and the user does not say otherwise.

    With one host this would refuse a standby, which is good enough for a program that only reads.
    """
    names_several = any("," in str(given.get(name, "")) for name in ("host", "hostaddr"))
    return (
        {"target_session_attrs": "read-write"} if names_several and not os.environ.get(ATTRS_VARIABLE) else {}
    )


def _known_parameters() -> set[str]:
    """Return what libpq takes, and `ssl` (JDBC's, as libpq takes it) and `notify` beside."""
    return {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl", "notify"}
