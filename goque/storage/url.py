"""Storage URLs: which database, where, and what of it may be shown."""

from __future__ import annotations

import importlib.util
import re
from typing import Final
from urllib.parse import unquote

from goque.errors import ConfigurationError

SUPPORTED: Final = "sqlite:///relative.db, sqlite:////absolute.db, postgresql://…, mysql://…"
ENCODE: Final = "percent-encode %, @, /, ? and # in the user and password (an @ is %40)"
_SERVERS: Final = {
    "postgresql": ("PostgreSQL", "psycopg", "postgres"),
    "postgres": ("PostgreSQL", "psycopg", "postgres"),
    "mysql": ("MySQL", "pymysql", "mysql"),
    "mariadb": ("MariaDB", "pymysql", "mysql"),
    "mysql+pymysql": ("MySQL", "pymysql", "mysql"),
}


def scheme_of(url: str) -> str:
    """Return the scheme of a storage URL.

    Raises:
        ConfigurationError: it is not a URL of a database that goque knows.
    """
    scheme, separator, _ = str(url).partition("://")
    scheme = scheme.lower()
    if not separator or (scheme != "sqlite" and scheme not in _SERVERS):
        raise ConfigurationError(
            f"{hide_password(str(url))!r:.200} is no storage URL; supported are {SUPPORTED}"
        )
    return scheme


def sqlite_path(url: str) -> str:
    """Return the path that a `sqlite:///` URL names, relative or absolute.

    Raises:
        ConfigurationError: the URL names a host, no file, parameters, or a database in memory.
    """
    rest = url.partition("://")[2]
    if not rest.startswith("/"):
        raise ConfigurationError(
            f"{hide_password(url)!r:.200} has no third slash; write sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = unquote(rest[1:])
    if ":memory:" in path or path.startswith("file:"):
        raise ConfigurationError(
            f"{hide_password(url)!r:.200} would be seen by one process only, "
            "and workers are other processes; name a file"
        )
    if not path or path.endswith("/"):
        raise ConfigurationError(f"{hide_password(url)!r:.200} names no file; write sqlite:///goque.db")
    if "?" in rest or "\0" in path:
        raise ConfigurationError(
            f"{hide_password(url)!r:.200} has parameters, and SQLite URLs take none (write a ? in a name as %3F)"
        )
    return path


def require_driver(scheme: str) -> None:
    """Refuse a database server whose driver is not installed.

    Raises:
        ConfigurationError: in one line, with what to install.
    """
    product, driver, extra = _SERVERS[scheme]
    if importlib.util.find_spec(driver) is None:
        raise ConfigurationError(
            f"{product} needs a driver that is not installed: pip install 'goque[{extra}]'"
        )


def refuse_stray_at(url: str) -> None:
    """Refuse a URL with an `@` after its host: user or password has a `/`, `?` or `#` that cuts it short.

    Raises:
        ConfigurationError: without any part of the URL that may belong to the password.
    """
    authority, *_ = re.split("[/?#]", url.partition("://")[2], maxsplit=1)
    if "@" in url.partition("://")[2][len(authority) :]:
        raise malformed(url, ENCODE)


def malformed(url: str, why: str) -> ConfigurationError:
    """Say what is wrong with a URL, and show it without its password."""
    return ConfigurationError(f"{hide_password(url)!r:.200} is no storage URL: {why}")


def hide_password(url: str) -> str:
    """Return the URL with `***` for its password, wherever in it one may stand, and however malformed it is."""
    return _PARAMETER.sub(r"\1=***", _hide_before_at(url))


def _hide_before_at(url: str) -> str:
    start = _START.match(url)
    prefix = start[0] if start else ""
    if prefix.lower() in ("sqlite:///", "sqlite:"):
        return url  # what follows is a path
    rest = url[len(prefix) :]
    before, at, host = rest.rpartition("@")
    if not at:
        return prefix + _NO_PORT.sub(r"\1:***", rest)
    user, colon, _ = before.partition(":")
    if not colon and _PLAIN_USER.fullmatch(before):
        return url
    return f"{prefix}{user}:***@{host}" if colon else f"{prefix}***@{host}"


_START: Final = re.compile(
    rf"(?i)sqlite:///|(?:sqlite|{'|'.join(map(re.escape, _SERVERS))})://|//|sqlite:(?!.*@)", re.DOTALL
)
_PLAIN_USER: Final = re.compile(r"[\w.%+~-]*")
_NO_PORT: Final = re.compile(r"^([^:/?#\[,]*):(?!\d{1,5}(?:[/?#,]|$)).*", re.DOTALL)
_PARAMETER: Final = re.compile(r"(?i)\b(pass(?:word|wd)?|sslpassword)=[^&]*(?:&[^=&]*(?=&|$))*")
