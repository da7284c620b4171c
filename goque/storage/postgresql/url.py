"""Turn a PostgreSQL URL into connection options. Parameters of libpq, such as those for TLS, are passed on."""

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
"""Times are in seconds, `tcp_user_timeout` in milliseconds. The URL can override each of them."""

EXAMPLE: Final = "postgresql://user:password@host:5432/database"
ATTRS_VARIABLE: Final = "PGTARGETSESSIONATTRS"
_SWITCH: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def connection_options(url: str) -> tuple[dict[str, Any], bool]:
    """Return the options for `psycopg.connect`, and whether to use notifications (not with `?notify=off`).

    Raises:
        ConfigurationError: the URL is malformed, or has a parameter that neither goque nor libpq knows.
    """
    refuse_stray_at(url)
    addresses_of(url, EXAMPLE)  # libpq checks the ports only when it connects
    authority, rest = split_authority(url)
    if authority.count("@") > 1:  # libpq ends the password at the first @, and reads the rest as a host
        raise malformed(url, ENCODE)
    parts = urlsplit(f"//{rest}")  # without the hosts: urlsplit rejects several IPv6 addresses
    query = parse_qsl(parts.query, keep_blank_values=True)
    values = dict(query)
    for name in values.keys() - _known_parameters():
        raise malformed(url, f"the parameter {name!r:.40} is unknown to goque and libpq")
    notify = values.get("notify", "on").lower()
    if notify not in _SWITCH:
        raise malformed(url, f"notify must be on or off, not {notify!r:.40}")
    parameters = urlencode([pair for pair in query if pair[0] != "notify"], quote_via=quote)
    plain = f"postgresql://{authority}{parts.path}?{parameters}"  # urlunsplit omits // if there is no host
    try:
        given = conninfo_to_dict(plain)
    except psycopg.Error:  # the error's text may contain the password
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
    """Make libpq skip read-only hosts, if the URL names several hosts and PGTARGETSESSIONATTRS is not set.

    With a single host, libpq must not reject a standby: it is good enough for a program that only reads.
    """
    names_several = any("," in str(given.get(name, "")) for name in ("host", "hostaddr"))
    return (
        {"target_session_attrs": "read-write"} if names_several and not os.environ.get(ATTRS_VARIABLE) else {}
    )


def _known_parameters() -> set[str]:
    """Return the parameters of libpq, and `notify` and `ssl` (JDBC's, which libpq accepts too)."""
    return {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl", "notify"}
