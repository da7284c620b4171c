"""A MySQL URL as the options of a connection, TLS options too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from goque.storage.url import malformed, refuse_stray_at

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
_BOOLEAN: Final = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def connection_options(url: str) -> dict[str, Any]:
    """Return the options for `pymysql.connect`.

    Raises:
        ConfigurationError: the URL is malformed, names no database, or has an unknown parameter.
    """
    refuse_stray_at(url)
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise malformed(url, "write mysql://user:password@host:3306/database") from None
    database = unquote(parts.path[1:])
    if not database or "/" in database:
        raise malformed(url, "name one database: mysql://user:password@host:3306/database")
    return {
        "host": parts.hostname or "127.0.0.1",
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or "").encode(),  # PyMySQL would take Latin-1
        "database": database,
        "connect_timeout": 5,
        **{name: _value(url, name, value) for name, value in query},
    }


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
