"""Storage URLs: which database, where, and what of it may be shown."""

from __future__ import annotations

import importlib.util
import re
from typing import Final
from urllib.parse import unquote

from goque.errors import ConfigurationError

SUPPORTED: Final = "sqlite:///relative.db, sqlite:////absolute.db, postgresql://…, mysql://…"
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
            f"{url!r:.200} has no third slash; write sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = unquote(rest[1:])
    if ":memory:" in path or path.startswith("file:"):
        raise ConfigurationError(
            f"{url!r:.200} would be seen by one process only, and workers are other processes; name a file"
        )
    if not path or path.endswith("/"):
        raise ConfigurationError(f"{url!r:.200} names no file; write sqlite:///goque.db")
    if "?" in rest or "\0" in path:
        raise ConfigurationError(
            f"{url!r:.200} has parameters, and SQLite URLs take none (write a ? in a name as %3F)"
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


def hide_password(url: str) -> str:
    """Return the URL with `***` for its password, wherever in it one may stand."""
    hidden = re.sub(r"(?<=://)([^/@:]*):(.*)@", r"\1:***@", url)
    return re.sub(r"(?i)\b(pass(?:word|wd)?|sslpassword)=[^&\s]*", r"\1=***", hidden)
