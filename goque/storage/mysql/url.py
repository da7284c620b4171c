"""A MySQL URL as the options of a connection, TLS options too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from goque.storage.url import Address, addresses_of, malformed, refuse_stray_at, split_authority

PARAMETERS: Final = {
    "ssl_ca": str,
    "ssl_cert": str,
    "ssl_key": str,
    "ssl_disabled": bool,
    "ssl_verify_cert": bool,
    "ssl_verify_identity": bool,
    "unix_socket": str,
    "connect_timeout": int,
}
FILES: Final = ("ssl_ca", "ssl_cert", "ssl_key")
EXAMPLE: Final = "mysql://user:password@host:3306/database"
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 3306
_BOOLEAN: Final = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def connection_options(url: str) -> dict[str, Any]:
    """Return the options for `pymysql.connect`, of the first host where the URL names several.

    Raises:
        ConfigurationError: the URL is malformed, names no database, or has an unknown parameter.
    """
    refuse_stray_at(url)
    host, port = servers(url)[0]
    authority, rest = split_authority(url)
    user, _, password = authority.rpartition("@")[0].partition(":")
    parts = urlsplit(f"//{rest}")  # without the hosts, for it refuses several of IPv6
    query = parse_qsl(parts.query, keep_blank_values=True)
    database = unquote(parts.path[1:])
    if not database or "/" in database:
        raise malformed(url, f"name one database: {EXAMPLE}")
    return {
        "host": host,
        "port": port,
        "user": unquote(user),
        "password": unquote(password).encode(),  # PyMySQL would take Latin-1
        "database": database,
        "connect_timeout": 5,
        **{name: _value(url, name, value) for name, value in query},
    }


def servers(url: str) -> list[tuple[str, int]]:
    """Return host and port of each server that the URL names, in its order.

    Raises:
        ConfigurationError: a host or a port cannot be one.
    """

    def whole(address: Address) -> tuple[str, int]:
        return address.host or DEFAULT_HOST, address.port or DEFAULT_PORT

    return [whole(address) for address in addresses_of(url, EXAMPLE)]


def _value(url: str, name: str, value: str) -> Any:
    kind = PARAMETERS.get(name)
    if kind is None:
        raise malformed(url, f"the parameter {name!r:.40} is unknown; known are {', '.join(PARAMETERS)}")
    if kind is bool:
        if value.lower() not in _BOOLEAN:
            raise malformed(url, f"{name} must be true or false, not {value!r:.40}")
        return _BOOLEAN[value.lower()]
    if kind is int and not (value.isdecimal() and 0 < int(value) <= 3600):
        raise malformed(url, f"{name} must be a number of seconds, not {value!r:.40}")
    if name in FILES and value and not Path(value).is_file():
        raise malformed(url, f"{name} names the file {value!r:.200}, which does not exist")
    return kind(value)
