"""The settings of a tree: plain data that launch writes into a pipe and the root reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

ROLES: Final = ("processors", "healer", "cleaner", "scheduler", "monitor")
MIN_NODE_TIMEOUT: Final = 1.0
MIN_HEAL_UNPUBLISHED: Final = 1.0
MAX_PREFETCH: Final = 1024
"""How many jobs a fetcher sends a worker at most ahead of what it runs; the root sizes black boxes by it."""
ADDRESS: Final = "HOST:PORT, such as 127.0.0.1:9100 or [::1]:9100"


def is_address(text: str) -> bool:
    """Return whether this is a host with a port from 0 to 65535, an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed):
        return False
    return port.isascii() and port.isdecimal() and int(port) <= 65535


def _are_names(value: Any) -> bool:
    is_several = isinstance(value, Collection) and not isinstance(value, str)
    return is_several and all(isinstance(name, str) for name in value)


def _are_roles(value: Any) -> bool:
    return bool(value) and all(role in ROLES for role in value)


def _is_text_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _is_seconds(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < 1e9


_RULES: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("log_format", ("console", "json").__contains__, "console or json"),
    (
        "log_level",
        ("debug", "info", "warning", "error", "critical").__contains__,
        "debug, info, warning, error or critical",
    ),
    ("start_method", ("forkserver", "spawn").__contains__, "forkserver or spawn"),
    ("on_lost_lease", ("finish", "kill").__contains__, "finish or kill"),
    *(
        (name, _are_names, "several names, such as ['a', 'b']")
        for name in ("types", "exclude_types", "pools", "exclude_pools", "roles")
    ),
    ("roles", _are_roles, f"some of {', '.join(ROLES)}"),
    ("shutdown_timeout", partial(_is_seconds, least=0.0), "0 or more seconds"),
    (
        "node_timeout",
        partial(_is_seconds, least=MIN_NODE_TIMEOUT),
        f"{MIN_NODE_TIMEOUT:g} or more seconds",
    ),
    (
        "workers",
        lambda value: value is None or (type(value) is int and 1 <= value <= 1_000_000),
        "a whole number from 1 up, or None",
    ),
    (
        "heal_unpublished",
        lambda value: value is None or _is_seconds(value, MIN_HEAL_UNPUBLISHED),
        f"{MIN_HEAL_UNPUBLISHED:g} or more seconds, or None",
    ),
    *((name, lambda value: isinstance(value, bool), "True or False") for name in ("drain", "reload")),
    *((name, _is_text_or_none, "text or None") for name in ("database_url", "http", "run_dir")),
    ("http", lambda value: value is None or is_address(value), ADDRESS),
)
"""For each option a check of its value and what it must be; the first failed check is reported."""


@dataclass(frozen=True)
class SuperviseOptions:
    """The options of `goque supervise`; times are seconds.

    Attributes:
        app: `module:attribute` of the registry; empty when the registry itself was handed over.
        database_url: the URL from a flag or the environment; None leaves it to the configuration and the registry.
        types: run only these types; empty for all.
        exclude_types: run all types but these.
        pools: run only the types of these pools; empty for all.
        exclude_pools: run the types of all pools but these.
        workers: how many workers the pool `default` has, None for what the app says.
        roles: which parts of the tree run here.
        drain: stop when no task runs and none could run now.
        shutdown_timeout: how long running handlers may go on after SIGTERM.
        http: HOST:PORT of the monitor's endpoint, None for no endpoint and no monitor.
        log_format: `console` or `json`.
        log_level: a level of the standard library's logging.
        start_method: `forkserver` or `spawn`.
        node_timeout: how long a node may be silent before others take its tasks.
        on_lost_lease: `finish` or `kill` running handlers when the heartbeat cannot be written that long.
        heal_unpublished: seconds after which a claim without an owner is returned though no supervisor has published
            its type; None leaves such types to the Go library.
        reload: whether changes of the app's source replace its workers, as SIGHUP does; for development.
        run_dir: the base of the run directory, None for a private default.
    """

    app: str = ""
    database_url: str | None = None
    types: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    exclude_pools: tuple[str, ...] = ()
    workers: int | None = None
    roles: tuple[str, ...] = ROLES
    drain: bool = False
    shutdown_timeout: float = 30.0
    http: str | None = None
    log_format: str = "console"
    log_level: str = "info"
    start_method: str = "forkserver"
    node_timeout: float = 30.0
    on_lost_lease: str = "finish"
    run_dir: str | None = None
    reload: bool = False
    heal_unpublished: float | None = None

    @property
    def has_monitor(self) -> bool:
        """Whether the monitor runs here: it does nothing without an endpoint."""
        return "monitor" in self.roles and self.http is not None

    def check(self) -> None:
        """Raise ValueError, naming the option and the value, for a value that no tree can run with."""
        for name, holds, wanted in _RULES:
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"{name} must be {wanted}, not {value!r:.80}")
        if self.types and self.exclude_types:
            raise ValueError("give types or exclude_types, not both")
        if self.pools and self.exclude_pools:
            raise ValueError("give pools or exclude_pools, not both")

    def check_names(self, pool_of: Mapping[str, str]) -> None:
        """Raise ValueError when an option names what the app lacks, or the processors have no type to run.

        Args:
            pool_of: the task types that have a processor, each with its pool.
        """
        types, pools = list(pool_of), list(dict.fromkeys(pool_of.values()))
        for name in (*self.types, *self.exclude_types):
            if name not in types:
                raise ValueError(
                    f"the app has no processor for type {name!r}; it has {', '.join(types) or 'none'}"
                )
        for name in (*self.pools, *self.exclude_pools):
            if name not in pools:
                raise ValueError(
                    f"the app has no types in a pool {name!r}; it has {', '.join(pools) or 'none'}"
                )
        if self.workers is not None and "default" not in pools:
            raise ValueError(
                "workers sets the workers of the pool 'default', and no type of the app is in it"
            )
        if "processors" not in self.roles:
            return
        used = {pool for task_type, pool in pool_of.items() if self.runs(task_type, pool)}
        if types and not used:
            raise ValueError(
                "these types and pools select no type of the app; leave out one of the options, or run other "
                "--roles only"
            )
        if self.workers is not None and "default" not in used:
            raise ValueError(
                "workers sets the workers of the pool 'default', of which no type runs here; leave it out"
            )
        if not types:
            raise ValueError(
                "the registry has no processors; import the modules that register the handlers in the module of the "
                "app, or run other --roles only"
            )

    def to_json(self) -> str:
        """Encode for the pipe to the root."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SuperviseOptions:
        """Decode what `to_json` made."""
        values = json.loads(text)
        for name in ("types", "exclude_types", "pools", "exclude_pools", "roles"):
            values[name] = tuple(values[name])
        return cls(**values)

    def runs(self, task_type: str, pool: str) -> bool:
        """Return whether tasks of this type, which is in this pool, run here."""
        if task_type in self.exclude_types or pool in self.exclude_pools:
            return False
        return (not self.types or task_type in self.types) and (not self.pools or pool in self.pools)
