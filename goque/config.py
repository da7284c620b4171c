"""Where settings come from: argument or flag, environment, configuration file, registry, embedded default."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Final

from goque.errors import ConfigurationError

DEFAULT_DATABASE_URL: Final = "sqlite:///goque.db"
KEYS: Final = ("database_url", "database-url")


def resolve_database_url(explicit: str | None = None, *, registry_url: str | None = None) -> str:
    """Return the first URL of: the explicit one, `GOQUE_DATABASE_URL`, a file's, the registry's, the default.

    Inside a supervision tree it is the tree's, whatever named that.

    Raises:
        ConfigurationError: a configuration file in the current directory is malformed.
    """
    return (
        explicit
        or _url_of_tree
        or os.environ.get("GOQUE_DATABASE_URL")
        or database_url_in_files()
        or registry_url
        or DEFAULT_DATABASE_URL
    )


_url_of_tree: str | None = None


def settle_database_url(url: str) -> None:
    """Have everything in this process, and in what is forked from it, resolve to the URL that its tree works on.

    Not through the environment, which programs started by handlers would inherit with the password in it.
    """
    global _url_of_tree  # noqa: PLW0603 - one process works on one tree's database
    _url_of_tree = url


def database_url_in_files() -> str | None:
    """Return the URL that `goque.toml` here, or else `[tool.goque]` of `pyproject.toml`, gives.

    Raises:
        ConfigurationError: one of them is malformed, or has a key that goque does not know.
    """
    own = _read_toml(Path("goque.toml"))
    if own is not None and (url := _database_url("goque.toml", own)):
        return url
    shared = _read_toml(Path("pyproject.toml"))
    tool = shared.get("tool") if shared else None
    section = tool.get("goque") if isinstance(tool, dict) else None
    return None if section is None else _database_url("[tool.goque] in pyproject.toml", section)


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
        raise ConfigurationError(f"{path} is not TOML: {error}; mend or remove it") from error


def _database_url(where: str, section: Any) -> str | None:
    if not isinstance(section, dict):
        raise ConfigurationError(f"{where} must be a table with the key database_url")
    for key in section:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else "known is database_url"
            raise ConfigurationError(f"{where} has the unknown key {key!r:.80}; {hint}")
    if len(section) > 1:
        raise ConfigurationError(f"{where} has database_url and database-url; keep one of them")
    url = next(iter(section.values()), None)
    if url is not None and (not isinstance(url, str) or not url):
        raise ConfigurationError(f"database_url of {where} must be a URL such as {DEFAULT_DATABASE_URL!r}")
    return url
