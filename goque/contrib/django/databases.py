"""Django's DATABASES as storage URLs, and a storage on Django's own connections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from goque.errors import SchemaError
from goque.storage.contract import SchemaState
from goque.storage.framework import BorrowedStorage, borrowed_dialect
from goque.storage.sql.caller_connection import close_if_hung_up
from goque.storage.sql.migrate import known_migrations

SETTINGS: Final = ("DATABASE", "DATABASE_URL")
DJANGOS_OWN: Final = frozenset(
    {
        *("pool", "isolation_level", "assume_role", "server_side_binding", "service", "passfile"),
        *("charset", "init_command", "sql_mode", "use_unicode", "autocommit", "cursorclass", "conv"),
    }
)
"""Options of Django itself, which are no parameters of the database's URL."""


def setting(name: str) -> Any:
    """Return a value of GOQUE in the settings, None if it is not set.

    Raises:
        ImproperlyConfigured: GOQUE is no dict, or has an unknown key.
    """
    given = getattr(settings, "GOQUE", {})
    unknown = set(given) - set(SETTINGS) if isinstance(given, Mapping) else {type(given).__name__}
    if unknown:
        raise ImproperlyConfigured(
            f"GOQUE must be a dict with the keys {' and '.join(SETTINGS)}; it has {sorted(unknown)!r}"
        )
    return given.get(name)


def database_alias() -> str:
    """Return the alias in DATABASES of the database with the tasks."""
    alias: str = setting("DATABASE") or DEFAULT_DB_ALIAS
    return alias


def database_url() -> str:
    """Return the storage URL of that database, for the processes of a tree, which have their own connections.

    Raises:
        ImproperlyConfigured: the database is in memory, or goque does not support it.
    """
    if url := setting("DATABASE_URL"):
        return str(url)
    connection = connections[database_alias()]
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(Path(_file(connection)).absolute()))}"
    return _server_url(connection.vendor, values)


def storage() -> DjangoStorage:
    """Return a storage on Django's connections."""
    alias = database_alias()
    connection = connections[alias]
    _require_known(connection.vendor)
    is_file = connection.vendor == "sqlite"
    where = str(connection.settings_dict["NAME"]) if is_file else database_url()
    return DjangoStorage(borrowed_dialect(connection.vendor, where), lambda: connections[alias])


class DjangoStorage(BorrowedStorage):
    """A storage on Django's connection of the calling thread; Django's migrations make its tables."""

    def schema_state(self) -> SchemaState:
        """Return the state of the schema: whether it is the one of this version of goque."""
        return super().schema_state() if has_ledger() else "missing"

    def pending_migrations(self) -> dict[str, str]:
        """Return the migrations to apply: name to SQL text."""
        return super().pending_migrations() if has_ledger() else known_migrations(self.dialect.name)

    def require_schema(self) -> None:
        """Raise SchemaError unless the schema is current."""
        state = self.schema_state()
        if state in ("missing", "outdated"):
            raise SchemaError(
                f"Django's database {database_alias()!r} lacks goque's tables, or has older ones; "
                "run `python manage.py migrate`"
            )
        if state != "current":
            super().require_schema()


def has_ledger() -> bool:
    """Return whether goque has any table. A failing SELECT would abort a transaction on PostgreSQL."""
    connection = connections[database_alias()]
    if not connection.in_atomic_block:
        close_if_hung_up(connection)
    return "goque_migration" in connection.introspection.table_names()


def _file(connection: Any) -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.is_in_memory_db():
        raise ImproperlyConfigured(
            "the database is in memory, where worker processes cannot see it; name a file"
        )
    return name


def _server_url(vendor: str, values: Mapping[str, Any]) -> str:
    _require_known(vendor)
    options = {
        name: _text(value)
        for name, value in values.get("OPTIONS", {}).items()
        if name not in DJANGOS_OWN and isinstance(value, str | int | bool)
    }
    host = str(values.get("HOST") or "")
    if host.startswith("/"):
        options["host" if vendor == "postgresql" else "unix_socket"] = host
        host = ""
    user, password = (quote(str(values.get(name) or ""), safe="") for name in ("USER", "PASSWORD"))
    login = f"{user}{f':{password}' if password else ''}@" if user else ""
    hosts = _hosts(host, str(values.get("PORT") or ""))
    query = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"{vendor}://{login}{hosts}/{quote(str(values['NAME']), safe='')}{query}"


def _hosts(host: str, port: str) -> str:
    """Return HOST and PORT as a URL has them; either may be a list with commas, as libpq takes it.

    Raises:
        ImproperlyConfigured: there are several ports, and not one for each host.
    """
    hosts, ports = host.split(","), port.split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ImproperlyConfigured(
            f"database {database_alias()!r} has {len(hosts)} hosts in HOST and {len(ports)} ports in PORT; "
            "give one port for all, or one for each"
        )
    return ",".join(_host(*pair) for pair in zip(hosts, ports, strict=True))


def _host(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{name.strip()}:{port.strip()}" if port.strip() else name.strip()


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_known(vendor: str) -> None:
    if vendor not in ("sqlite", "postgresql", "mysql"):
        raise ImproperlyConfigured(
            f"goque knows SQLite, PostgreSQL, MySQL and MariaDB, and {database_alias()!r} is {vendor}; "
            "name another database in GOQUE['DATABASE'], or its URL in GOQUE['DATABASE_URL']"
        )
