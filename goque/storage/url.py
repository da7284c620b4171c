"""Storage URLs: which database, where, and what of it may be shown."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from goque.errors import ConfigurationError
from goque.telemetry.passwords import SENSITIVE_NAME

SUPPORTED: Final = "sqlite:///relative.db, sqlite:////absolute.db, postgresql://…, mysql://…"
ENCODE: Final = "percent-encode %, @, /, ? and # in the user and password (an @ is %40)"
_SERVERS: Final = {
    "postgresql": ("PostgreSQL", "psycopg", "postgres"),
    "postgres": ("PostgreSQL", "psycopg", "postgres"),
    "mysql": ("MySQL", "pymysql", "mysql"),
    "mariadb": ("MariaDB", "pymysql", "mysql"),
    "mysql+pymysql": ("MySQL", "pymysql", "mysql"),
}


class Address(NamedTuple):
    """A server's host and port; None is what the driver takes when the URL says nothing."""

    host: str | None
    port: int | None


def clean_url(url: str) -> str:
    """Return a storage URL without the white space around it, which files and environments may add.

    Raises:
        ConfigurationError: it has a control character; drivers would drop it, or take it into a name.
    """
    text = str(url).strip()
    if _CONTROL.search(text):
        raise malformed(text, "it has a control character; remove it, or percent-encode it")
    return text


def scheme_of(url: str) -> str:
    """Return the scheme of a storage URL.

    Raises:
        ConfigurationError: it is not a URL of a database that goque knows.
    """
    scheme, separator, _ = clean_url(url).partition("://")
    scheme = scheme.lower()
    if not separator or (scheme != "sqlite" and scheme not in _SERVERS):
        raise ConfigurationError(
            f"{hide_password(str(url))!r:.200} is not a storage URL; supported are {SUPPORTED}"
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
            f"{hide_password(url)!r:.200} is a database in memory, "
            "which worker processes cannot see; name a file"
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


def addresses_of(url: str, example: str) -> list[Address]:
    """Return the hosts of a server's URL, in its order; one without a name where the URL has no host.

    Args:
        url: the storage URL.
        example: a URL of this kind, for the error.

    Raises:
        ConfigurationError: a host or a port cannot be one.
    """
    hosts = split_authority(url)[0].rpartition("@")[2].split(",")
    return [_address(url, host, example, may_be_empty=len(hosts) == 1) for host in hosts]


def split_authority(url: str) -> tuple[str, str]:
    """Return user, password and hosts of a URL as they are written, and what follows them."""
    rest = url.partition("://")[2]
    authority, *_ = re.split("[/?#]", rest, maxsplit=1)
    return authority, rest[len(authority) :]


def _address(url: str, text: str, example: str, *, may_be_empty: bool) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        brackets = "; an IPv6 address goes in brackets" if text.count(":") > 1 else ""
        raise malformed(url, f"write {example}{brackets}")
    host = unquote(found["name"] if found["ipv6"] is None else found["ipv6"])
    if not host and not may_be_empty:
        raise malformed(url, "a comma between hosts has no host before or after it")
    if found["ipv6"] is not None and not _is_ipv6(host):
        raise malformed(url, f"write {example}; the text in brackets is not an IPv6 address")
    if found["port"] and not 0 < int(found["port"]) < 65536:
        raise malformed(url, "a port is a number from 1 to 65535")
    return Address(host or None, int(found["port"]) if found["port"] else None)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def refuse_stray_at(url: str) -> None:
    """Refuse a URL with an `@` after its host: user or password has a `/`, `?` or `#` that cuts it short.

    Raises:
        ConfigurationError: without any part of the URL that may belong to the password.
    """
    if "@" in split_authority(url)[1]:
        raise malformed(url, ENCODE)


def malformed(url: str, why: str) -> ConfigurationError:
    """Say what is wrong with a URL, and show it without its password."""
    return ConfigurationError(f"{hide_password(url)!r:.200} is not a storage URL: {why}")


def hide_password(url: str) -> str:
    """Return the URL with `***` for its password, wherever in it one may stand, and however malformed it is."""
    shown = _PARAMETER.sub(r"\1=***", _hide_before_at(url.strip()))
    start, mark, parameters = shown.partition("?")
    return start + mark + _VALUE.sub(_value_if_harmless, parameters)


def _value_if_harmless(parameter: re.Match[str]) -> str:
    return parameter[0] if parameter["name"].lower() in _SHOWN else f"{parameter['name']}=***"


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
_HOST: Final = r"(?:\[[^\]/?#]*\]|[^:/?#\[,]*)"
_NO_PORT: Final = re.compile(
    rf"^((?:{_HOST}(?::\d{{1,5}})?,)*{_HOST}):(?!\d{{1,5}}(?:[/?#,]|$)).*", re.DOTALL
)
"""What follows a host's colon and is no port: a password whose host was forgotten."""

_PARAMETER: Final = re.compile(rf"{SENSITIVE_NAME}(?:=|%3[Dd])[^&]*(?:&[^=&]*(?=&|$))*")
_VALUE: Final = re.compile(r"(?P<name>[^=&]+)=[^&]*")
_SHOWN: Final = frozenset(
    {
        "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
        "fallback_application_name", "gssencmode", "host", "hostaddr", "keepalives", "keepalives_count",
        "keepalives_idle", "keepalives_interval", "load_balance_hosts", "notify", "options", "port", "requiressl",
        "service", "ssl", "ssl_ca", "ssl_cert", "ssl_disabled", "ssl_key", "ssl_verify_cert", "ssl_verify_identity",
        "sslcert", "sslcompression", "sslcrl", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "sslsni",
        "target_session_attrs", "tcp_user_timeout", "unix_socket", "user",
    }
)  # fmt: skip
"""The parameters whose values are shown. A parameter that goque does not know may be a secret."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ADDRESS: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]{0,5}))?")
