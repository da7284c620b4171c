"""Servers that speak the protocol of PostgreSQL or MySQL and cannot keep goque's promises."""

from __future__ import annotations

from typing import Final

from goque.errors import DatabaseUnavailableError

FOREIGN_SERVERS: Final = {"tidb": "TiDB", "cockroachdb": "CockroachDB", "-yb-": "YugabyteDB"}
"""What the banner of `version()` has in it, and the name. They ignore SKIP LOCKED, or did so for long."""


def refuse_foreign_server(banner: str, url: str) -> None:
    """Refuse a server on which two claims may take the same task.

    Raises:
        DatabaseUnavailableError: its banner has the name of such a server.
    """
    for part, name in FOREIGN_SERVERS.items():
        if part in banner.lower():
            raise DatabaseUnavailableError(
                f"{url} is {name}, which ignores SKIP LOCKED; use PostgreSQL, MySQL or MariaDB"
            )
