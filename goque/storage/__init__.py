"""Storage: the contract, and the backends that keep it."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goque.storage.contract import TaskStorage
from goque.storage.url import clean_url, require_driver, scheme_of, sqlite_path

if TYPE_CHECKING:
    from goque.storage.sql.dialect import Dialect

__all__ = ["TaskStorage", "dialect_of", "import_backend", "open_storage"]

_log: Final = logging.getLogger("goque.storage")
_announced: Final[set[str]] = set()


def open_storage(url: str) -> TaskStorage:
    """Return the storage that a URL names; it connects when it is first asked for something.

    Args:
        url: `sqlite:///relative.db` (to the current directory, now), `sqlite:////absolute.db`,
            `postgresql://user:password@host:5432/database` or `mysql://user:password@host:3306/database`.
            A server's URL may name several hosts, `host1:5432,host2:5432`: the first that takes writes is used.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
    """
    dialect = dialect_of(str(url))
    from goque.storage.sql.storage import SqlStorage  # noqa: PLC0415 - a URL is checked before anything is loaded

    return SqlStorage(dialect)


def import_backend(url: str) -> None:
    """Load what a storage at this URL needs, so that processes forked from this one share it.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
    """
    scheme = scheme_of(url)
    if scheme != "sqlite":
        require_driver(scheme)
    backend = "postgresql" if scheme.startswith("postgres") else "sqlite" if scheme == "sqlite" else "mysql"
    for name in (f"{backend}.dialect", "sql.storage"):
        importlib.import_module(f"goque.storage.{name}")
    if scheme != "sqlite":
        open_storage(url).close()  # compiles and registers what each process would else do for itself


def dialect_of(url: str) -> Dialect:
    """Return the dialect of the database that a URL names.

    Raises:
        ConfigurationError: the URL is wrong, or its driver is not installed.
    """
    url = clean_url(url)
    scheme = scheme_of(url)
    if scheme == "sqlite":
        return _sqlite(url)
    require_driver(scheme)
    if scheme.startswith("postgres"):
        from goque.storage.postgresql.dialect import PostgresqlDialect  # noqa: PLC0415 - drivers load when they are named

        return PostgresqlDialect(url)
    from goque.storage.mysql.dialect import MysqlDialect  # noqa: PLC0415 - the same

    return MysqlDialect(url)


def _sqlite(url: str) -> Dialect:
    from goque.storage.sqlite.dialect import SqliteDialect  # noqa: PLC0415 - the same

    path = str(Path(sqlite_path(url)).absolute())
    if path not in _announced:
        _announced.add(path)
        _log.debug("SQLite database %s", path)  # the root of a tree logs it once for all of its processes
    return SqliteDialect(path)
