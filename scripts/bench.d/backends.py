"""The databases to measure: SQLite always, and each server that is reachable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from database import Backend
from mysql_database import MysqlDatabase
from postgresql_database import PostgresqlDatabase
from sqlite_database import SqliteDatabase

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import services

NAMES: Final = ("sqlite", "postgresql", "mysql")


class NoServerError(Exception):
    """A requested server is not reachable; the message says what to do."""


def available(wanted: list[str] | None) -> list[Backend]:
    """Return the requested backends, or all that are reachable.

    Raises:
        NoServerError: a requested server is not reachable.
    """
    urls = services.reachable() if wanted is None or set(wanted) != {"sqlite"} else {}
    known = {
        "sqlite": Backend("sqlite", SqliteDatabase, None, "executemany in one transaction"),
        "postgresql": Backend("postgresql", PostgresqlDatabase, urls.get("postgresql"), "COPY"),
        "mysql": Backend(
            "mysql", MysqlDatabase, urls.get("mysql"), "INSERT of many rows, in one transaction"
        ),
    }
    missing = [name for name in wanted or () if name != "sqlite" and name not in urls]
    if missing:
        raise NoServerError(f"no {' and no '.join(missing)} server is reachable; run scripts/services up")
    names = wanted or [name for name in NAMES if name == "sqlite" or name in urls]
    for name in set(NAMES) - set(names) if wanted is None else ():
        print(f"{name} is skipped: no server is reachable; see scripts/services", file=sys.stderr)
    return [known[name] for name in dict.fromkeys(names)]
