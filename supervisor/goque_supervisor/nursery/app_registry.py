"""The registry of the app, loaded once in a process; processes forked from it inherit it."""

from __future__ import annotations

import io
import os
import sys

import dill

from goque.app import load_registry
from goque.config import tree_url_in_environment
from goque.errors import ConfigurationError
from goque.registry import Registry
from goque.telemetry.app_logs import let_through

_loaded: list[Registry] = []


def registry_of_this_process(app: str, registry_fd: int | None) -> Registry:
    """Return the registry: what this process or its nursery loaded, or else loaded now."""
    if not _loaded:
        with tree_url_in_environment():
            _loaded.append(load_registry(app) if registry_fd is None else _unpickle(registry_fd))
        let_through()
    return _loaded[0]


def _unpickle(registry_fd: int) -> Registry:
    """Load the registry that `Supervisor(registry)` handed over. It comes from our parent, never from outside.

    The parent's import path comes first, since handlers may live in modules beside its script.
    """
    with os.fdopen(os.dup(registry_fd), "rb") as file:
        file.seek(0)
        stream = io.BytesIO(file.read())
    sys.path[:] = dict.fromkeys([*dill.load(stream), *sys.path])  # noqa: S301 - inherited from the parent process
    registry = dill.load(stream)  # noqa: S301 - the same
    if not isinstance(registry, Registry):
        raise ConfigurationError(f"Supervisor needs a goque.Registry, not {type(registry).__name__}")
    return registry
