"""What the app's nursery imports before it forks anything, so that workers start in milliseconds.

`goque check` loads the app by the same function, so that it refuses what a tree would refuse, in the same words.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from goque.config import (
    database_url_in_files,
    resolve_app_version,
    resolve_database_url,
    settle_database_url,
)
from goque.errors import ConfigurationError
from goque.handlers.processor_table import processors_of
from goque.options import ProcessorOptions
from goque.pools.options import PoolSpec
from goque.pools.table import pools_of
from goque.registry import Registry
from goque.storage.url import hide_password
from goque.telemetry import logs, tracing
from goque.telemetry.service_name import metrics_service_name
from goque_supervisor.ipc.failure_report import Reported
from goque_supervisor.ipc.sockets import make_keys
from goque_supervisor.nursery.app_registry import registry_of_this_process
from goque_supervisor.nursery.child_main import LOOPS
from goque_supervisor.nursery.replaced_functions import refuse_replaced_functions
from goque_supervisor.settings import SuperviseOptions

ASYNC_WORKER: Final = "goque_supervisor.worker.async_worker"
ROOT_OPTIONS: Final = ("timeout", "max_attempts")


def import_app(options: SuperviseOptions, registry_fd: int | None) -> dict[str, Any]:
    """Import the app and describe it to the root as plain data.

    Raises:
        ConfigurationError: see `load_app`.
    """
    began = time.time_ns()
    if options.reload:
        sys.dont_write_bytecode = True  # bytecode counts as fresh for files changed twice in a second
    registry, url, pools = load_app(options, registry_fd)
    reported = _reported(registry)
    types = [msgspec.to_builtins(spec) for spec in processors_of(registry).specs()]
    pool_of = {task_type: pool.name for pool in pools for task_type in pool.types}
    traced = (
        ("fetcher", "healer", "cleaner") if tracing.is_on() else ()
    )  # then they are forked from here: see root/tree.py
    for role in (
        "worker",
        "callback",
        *["reporter"] * any(which != Reported.NONE for which in reported.values()),
        "scheduler",
        *traced,
    ):
        importlib.import_module(LOOPS[role])
    if any(spec["is_async"] for spec in types):
        importlib.import_module(ASYNC_WORKER)
    return {
        "sources": _sources_of(options.app),
        "import_began": began,
        "types": [
            {
                **spec,
                "options": _with_defaults(spec["options"]),
                "pool": pool_of[spec["type"]],
                "reports": reported[spec["type"]],
            }
            for spec in types
        ],
        "pools": {pool.name: msgspec.structs.asdict(pool.options) for pool in pools},
        "jobs": len(registry.jobs),
        "job_names": [logs.one_line(job.name) for job in registry.jobs],
        "database_url": url,
        "database": logs.one_line(hide_password(url)),
        "database_fingerprint": hashlib.sha256(url.encode()).hexdigest(),
        "keys": {pool.name: make_keys() for pool in pools},
        "traces": tracing.is_on(),
        "service_name": metrics_service_name() or registry.service_name,
        "app_version": resolve_app_version(registry.version),
    }


def _reported(registry: Registry) -> dict[str, str]:
    """Return which failed attempts of each type are reported to functions of the app."""
    if registry.on_failure is not None:
        return dict.fromkeys(registry.task_types, Reported.ALL.value)
    table = processors_of(registry)
    return {
        name: (Reported.WITHOUT_WORKER if table.get(name).failed_without_worker else Reported.NONE).value
        for name in registry.task_types
    }


def _sources_of(app: str) -> list[str]:
    """Return where the top-level package or module of an app is; empty for a registry that was handed over."""
    module = sys.modules.get(app.partition(":")[0].partition(".")[0])
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
    return [str(Path(place).absolute()) for place in places if place]


def load_app(options: SuperviseOptions, registry_fd: int | None) -> tuple[Registry, str, list[PoolSpec]]:
    """Import the app; returns its registry, and the database URL and the pools of a tree with these options.

    Raises:
        ConfigurationError: it does not import, is not a registry, has nothing for the processors to run, replaces
            functions of Python that workers need, has a type in a pool that it does not declare, or an option names a
            type or a pool that it lacks.
    """
    logs.configure("nursery", log_format=options.log_format, level=options.log_level)
    given = options.database_url or database_url_in_files()
    given = absolute_database_url(given) if given else None  # the app may change its directory at its import
    if options.database_url and given:
        settle_database_url(given)
    registry = registry_of_this_process(options.app, registry_fd)
    refuse_replaced_functions(options.app)
    pools = pools_of(registry).specs(default_workers=options.workers)
    try:
        options.check_names({task_type: pool.name for pool in pools for task_type in pool.types})
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    url = _use_database(resolve_database_url(given, registry_url=registry.database_url))
    return registry, url, pools


def _use_database(url: str) -> str:
    """Make the tree's database the one that handlers enqueue follow-ups to; returns its URL."""
    url = absolute_database_url(url)
    settle_database_url(url)
    return url


def absolute_database_url(url: str) -> str:
    """Make a relative SQLite path absolute, since handlers may change their working directory."""
    scheme, found, path = url.partition(":///")
    if scheme != "sqlite" or not found or not path or path.startswith("/"):
        return url
    return f"sqlite:///{Path(path).absolute()}"


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """Add the defaults of the options that the root reads."""
    defaults = ProcessorOptions()
    return {name: getattr(defaults, name) for name in ROOT_OPTIONS} | options
