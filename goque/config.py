"""Where settings come from: argument or flag, environment, configuration file, registry, embedded default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from goque.errors import ConfigurationError
from goque.task_rules.checks import check_name as check_text

DEFAULT_DATABASE_URL: Final = "sqlite:///goque.db"
DATABASE_VARIABLE: Final = "GOQUE_DATABASE_URL"
VERSION_VARIABLE: Final = "GOQUE_APP_VERSION"
SHARED: Final = "[tool.goque] in pyproject.toml"
OPTIONS: Final = (
    "app",
    "database_url",
    "drain",
    "exclude_pools",
    "exclude_types",
    "heal_unpublished",
    "http",
    "log_format",
    "log_level",
    "node_timeout",
    "on_lost_lease",
    "pools",
    "reload",
    "roles",
    "run_dir",
    "shutdown_timeout",
    "start_method",
    "types",
    "workers",
)
"""The options that a file may give outside of any table: those of `goque supervise`. They hold for all commands."""


def resolve_database_url(explicit: str | None = None, *, registry_url: str | None = None) -> str:
    """Return the first URL of: the explicit one, `GOQUE_DATABASE_URL`, a file's, the registry's, the default.

    Inside a supervision tree it is always the tree's URL.

    Raises:
        ConfigurationError: a configuration file in the current directory is malformed.
    """
    return (
        explicit
        or _url_of_tree
        or os.environ.get(DATABASE_VARIABLE)
        or database_url_in_files()
        or registry_url
        or DEFAULT_DATABASE_URL
    )


def resolve_app_version(registry_version: str | None) -> str | None:
    """Return the version of the app: `GOQUE_APP_VERSION`, or else the registry's; None if neither is set.

    Raises:
        ConfigurationError: the variable has more than 255 characters, or control characters.
    """
    version = os.environ.get(VERSION_VARIABLE, "").strip()
    if not version:
        return registry_version
    check_text(VERSION_VARIABLE, version)
    return version


_url_of_tree: str | None = None


def settle_database_url(url: str) -> None:
    """Make this process, and processes forked from it, resolve to the database URL of its tree.

    The environment would not do: programs that handlers start would inherit it, with the password in it.
    """
    global _url_of_tree  # noqa: PLW0603 - one process works on one tree's database
    _url_of_tree = url


@contextmanager
def tree_url_in_environment() -> Iterator[None]:
    """Set `GOQUE_DATABASE_URL` to the URL of the tree, if it is known, while its app is imported.

    A tree's processes do not have the variable, so that programs that handlers start do not inherit it. But an app may
    read it for its own configuration.
    """
    before = os.environ.get(DATABASE_VARIABLE)
    if _url_of_tree is not None:
        os.environ[DATABASE_VARIABLE] = _url_of_tree
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(DATABASE_VARIABLE, None)
        else:
            os.environ[DATABASE_VARIABLE] = before


def database_url_in_files() -> str | None:
    """Return the URL that `goque.toml` here, or else `[tool.goque]` of `pyproject.toml`, gives.

    Raises:
        ConfigurationError: one of them is malformed, or has a key that goque does not know.
    """
    setting = read_files().options.get("database_url")
    if setting is None:
        return None
    if not isinstance(setting.value, str) or not setting.value:
        raise ConfigurationError(
            f"database_url of {setting.where} must be a URL such as {DEFAULT_DATABASE_URL!r}"
        )
    return setting.value


@dataclass(frozen=True)
class Setting:
    """A value of a configuration file, and the place of its definition."""

    value: Any
    where: str


@dataclass(frozen=True)
class Settings:
    """The settings in the configuration files of the current directory.

    Attributes:
        options: by the names of `OPTIONS`.
        tables: the options of single commands, by the command's name.
        files: the files that were read; the first wins.
    """

    options: Mapping[str, Setting] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    files: Sequence[str] = ()


def read_files() -> Settings:
    """Read `goque.toml` and `[tool.goque]` of `pyproject.toml` in the current directory.

    Raises:
        ConfigurationError: one of them is malformed, or has a key that goque does not know.
    """
    own, shared = _read_toml(Path("goque.toml")), _read_toml(Path("pyproject.toml"))
    tool = shared.get("tool") if shared else None
    found = {"goque.toml": own, SHARED: tool.get("goque") if isinstance(tool, dict) else None}
    options: dict[str, Setting] = {}
    tables: dict[str, dict[str, Setting]] = {}
    for where, section in reversed(found.items()):
        if section is None:
            continue
        if not isinstance(section, dict):
            raise ConfigurationError(f"{where} must be a table with keys such as database_url")
        values = {key: value for key, value in section.items() if not isinstance(value, dict)}
        options |= _settings(values, where)
        for name in options:
            check_name(name, OPTIONS, f"{where} has the unknown key")
        for name, table in section.items():
            if isinstance(table, dict):
                tables.setdefault(name, {}).update(_settings(table, f"[{name}] in {where}"))
    return Settings(options, tables, [where for where, section in found.items() if section is not None])


def check_name(name: str, known: Sequence[str], complaint: str) -> None:
    """Refuse an unknown name and suggest the nearest known one. Raises ConfigurationError."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise ConfigurationError(f"{complaint} {name!r:.80}; {hint}")


def _settings(values: dict[str, Any], where: str) -> dict[str, Setting]:
    """Name each value like the option in Python: TOML may write `node-timeout` or `node_timeout`."""
    found: dict[str, Setting] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name in found:
            raise ConfigurationError(f"{where} has {name} and {name.replace('_', '-')}; keep one of them")
        found[name] = Setting(value, where)
    return found


def _read_toml(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; make it readable or remove it"
        ) from error
    import tomllib  # noqa: PLC0415 - most directories have neither file

    try:
        return tomllib.loads(text.decode("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}; correct it or remove it") from error
