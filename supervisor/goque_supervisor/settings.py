"""What a tree is told at its start: plain data that launch writes into a pipe and the root reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

ROLES: Final = ("processors", "healer", "cleaner", "scheduler", "monitor")
LEAST_NODE_TIMEOUT: Final = 1.0
_CHOICES: Final = {
    "log_format": ("console", "json"),
    "log_level": ("debug", "info", "warning", "error", "critical"),
    "start_method": ("forkserver", "spawn"),
    "on_lost_lease": ("finish", "kill"),
}


@dataclass(frozen=True)
class SuperviseOptions:
    """The options of `goque supervise`; times are seconds.

    Attributes:
        app: `module:attribute` of the registry; empty when the registry itself was handed over.
        database_url: the URL from a flag or the environment; None leaves it to the configuration and the registry.
        types: run only these types; empty for all.
        exclude_types: run all types but these.
        roles: which parts of the tree run here.
        drain: stop when nothing is left that could run now or is running.
        shutdown_timeout: how long running handlers may go on after SIGTERM.
        http: HOST:PORT of the monitor's endpoint, None for no endpoint.
        log_format: `console` or `json`.
        log_level: a level of the standard library's logging.
        start_method: `forkserver` or `spawn`.
        node_timeout: how long a node may be silent before others take its tasks.
        on_lost_lease: `finish` or `kill` running handlers when the heartbeat cannot be written that long.
        reload: whether changes of the app's source replace its workers, as SIGHUP does; for development.
        run_dir: the base of the run directory, None for a private default.
    """

    app: str = ""
    database_url: str | None = None
    types: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()
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

    def check(self) -> None:
        """Raise ValueError, naming the option and the value, for what no tree could run by."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name in ("types", "exclude_types", "roles"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(one, str) for one in names):
                raise ValueError(f"{name} must be several names, such as ['a', 'b'], not {names!r}")
        if unknown := [role for role in self.roles if role not in ROLES]:
            raise ValueError(f"roles must be of {', '.join(ROLES)}, not {unknown[0]!r}")
        if self.types and self.exclude_types:
            raise ValueError("give types or exclude_types, not both")
        for name, least in (("shutdown_timeout", 0.0), ("node_timeout", LEAST_NODE_TIMEOUT)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e9:
                raise ValueError(f"{name} must be {least:g} or more seconds, not {value!r}")

    def to_json(self) -> str:
        """Encode for the pipe to the root."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SuperviseOptions:
        """Decode what `to_json` made."""
        values = json.loads(text)
        for name in ("types", "exclude_types", "roles"):
            values[name] = tuple(values[name])
        return cls(**values)

    def runs(self, task_type: str) -> bool:
        """Return whether tasks of this type are to be run here."""
        if self.types:
            return task_type in self.types
        return task_type not in self.exclude_types
