"""Where a command looks: the app that it knows, and the database that the app's tasks are in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from goque.cli.command import APP, option
from goque.config import resolve_database_url
from goque.errors import ConfigurationError, DatabaseUnavailableError, GoqueError, TaskNotFoundError

if TYPE_CHECKING:
    from goque.registry import Registry
    from goque.storage import TaskStorage

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

HINT_PATIENCE: Final = 3.0
"""Seconds that a hint about a misspelt type waits for the app."""

FORM: Final = "module:attribute, such as app:registry"


def database_option(function: FunctionT) -> FunctionT:
    """Add --database-url."""
    return option(
        "--database-url",
        metavar="URL",
        help="The database: sqlite:///FILE, postgresql://… or mysql://…  [default: as configured, else the "
        "app's own, else sqlite:///goque.db]",
    )(function)


def chosen_app(argument: str | None = None) -> str | None:
    """Return the app that the running command is about: its argument, --app, GOQUE_APP or the configuration's.

    Raises:
        click.UsageError: the argument and --app name different apps.
    """
    ctx = click.get_current_context()
    configured: str | None = ctx.meta.get(APP)
    flag = ctx.get_parameter_source("configured_app") is ParameterSource.COMMANDLINE
    if flag and argument and argument != configured:
        raise click.UsageError("APP and --app contradict each other; give one of them")
    return argument or configured


def required_app(argument: str | None) -> str:
    """Return the app that the running command is about. Raises click.UsageError if nothing names it."""
    app = chosen_app(argument)
    if app is None:
        raise click.UsageError(
            f"name the app as {FORM}: as APP, by --app or GOQUE_APP, or as `app` in goque.toml"
        )
    return app


def find_database_url(explicit: str | None, registry: Registry | None = None) -> str:
    """Return the URL of the database that a command works on.

    The app is imported only if neither the command line, nor the environment, nor a file names the database.

    Args:
        explicit: the value of --database-url, from whichever of these.
        registry: the app's registry, if it is loaded already.

    Raises:
        ConfigurationError: the app does not import.
    """
    app = chosen_app()
    registry_url = registry.database_url if registry is not None else None
    if not explicit and registry is None and app is not None:
        registry_url = url_of_app(app)
    return resolve_database_url(explicit, registry_url=registry_url)


def url_of_app(app: str) -> str | None:
    """Return the database URL that an app's registry has, None if it has none.

    Raises:
        ConfigurationError: the app does not import.
    """
    from goque.cli.isolated_load import read_app

    try:
        return read_app(app).database_url
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error}; the app names the database: fix the app, or give --database-url"
        ) from error


def require_file(url: str, app: str | None = None) -> None:
    """Refuse the URL of a SQLite file that does not exist.

    Args:
        url: the URL of any database.
        app: the app that named it, if one did.

    Raises:
        DatabaseUnavailableError: it is missing; a command that only looks must not create it.
    """
    path = missing_file(url)
    if path is not None:
        elsewhere = "give --database-url" if app else "give --app or --database-url"
        raise DatabaseUnavailableError(
            f"there is no database {path}; `goque migrate`, `enqueue` and `supervise` create it; to use another one, "
            f"{elsewhere}"
        )


def missing_file(url: str) -> str | None:
    """Return the path of a SQLite file that does not exist, None for any other database."""
    from goque.storage.url import clean_url, scheme_of, sqlite_path

    if scheme_of(url) != "sqlite":
        return None
    path = os.path.abspath(sqlite_path(clean_url(url)))  # noqa: PTH100 - a URL may have any text as its path
    return None if os.path.lexists(path) else path


@contextmanager
def opened_storage(
    database_url: str | None, registry: Registry | None = None, *, create: bool = False
) -> Iterator[TaskStorage]:
    """Open the database that the command works on, and check its schema; close it after.

    Args:
        database_url: see `find_database_url`.
        registry: the same.
        create: whether to create a SQLite file that is missing.

    Raises:
        DatabaseUnavailableError: it cannot be reached, has no schema, or is a missing file.
    """
    from goque.storage import open_storage

    url = find_database_url(database_url, registry)
    if not create:
        require_file(url, chosen_app())
    storage = open_storage(url)
    try:
        storage.require_schema()
        yield storage
    finally:
        storage.close()


def types_in(storage: TaskStorage) -> list[str]:
    """Return the types that a database knows: those that have tasks, and those that a supervisor has run."""
    return sorted({*storage.type_policies(), *storage.task_types()})


def type_hint(storage: TaskStorage, name: str) -> str:
    """Say that there is no such type, and which one was probably meant; empty if the database or the app knows it.

    The app is asked only if the database does not know the type.
    """
    from goque.describe.near_names import describe_unknown_type

    known, app = types_in(storage), chosen_app()
    if name not in known and app is not None:
        from goque.cli.isolated_load import read_app

        with suppress(GoqueError):  # it was enough to look at the database
            known += read_app(app, patience=HINT_PATIENCE).types
    return describe_unknown_type(name, known)


def flow_hint(storage: TaskStorage, flow_id: str) -> str | None:
    """Say that an id, which no task has, is that of a flow; None if it is not."""
    try:
        name = storage.flow_overview(flow_id).name
    except TaskNotFoundError:
        return None
    return f"it is the id of flow {name!r:.210}; `goque flow {flow_id}` shows its tasks with their ids"
