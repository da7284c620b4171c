"""The root's side of a nursery: a process forked from the root, which forks all others."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from os import _exit  # the app may replace that of os
from pathlib import Path
from typing import Any

from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.process_signals import fork_without_signals
from goque_supervisor.root.tree import NurseryKind
from goque_supervisor.settings import SuperviseOptions


class NurseryProcess:
    """One nursery: its process, its channel, and how it describes the app."""

    def __init__(
        self, kind: NurseryKind, generation: int, options: SuperviseOptions, registry_fd: int | None
    ) -> None:
        self.kind = kind
        self.generation = generation
        self.options = options
        self.registry_fd = registry_fd
        self.ready = False
        self.watched = True
        self.pid = 0
        self.started_at = time.monotonic()
        self.app: dict[str, Any] = {}
        self.channel, self._theirs = Channel.pair()

    def start(self, root: int) -> None:
        """Fork the nursery; the child never returns from here."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = fork_without_signals()
        if self.pid == 0:
            code = 1
            try:
                code = self._become_nursery(root)
            finally:
                _exit(code)
        self._theirs.close()

    def _become_nursery(self, root: int) -> int:
        _close_all_but({self._theirs.fileno(), self.registry_fd})
        # everything the root must not load comes from here
        from goque_supervisor.nursery.forker import run_nursery  # noqa: PLC0415

        end = socket.socket(fileno=self._theirs.detach())
        if self.kind is NurseryKind.ACTORS:
            from goque_supervisor.nursery.preload_actors import import_actors  # noqa: PLC0415

            return run_nursery(
                end,
                root,
                name="actors",
                start_method="forkserver",
                prepare=lambda: import_actors(self.options),
            )
        from goque_supervisor.nursery.preload import import_app  # noqa: PLC0415

        return run_nursery(
            end,
            root,
            name="app",
            start_method=self.options.start_method,
            prepare=lambda: import_app(self.options, self.registry_fd),
        )


def _close_all_but(kept: set[int | None]) -> None:
    """Close the root's descriptors: a copy of its sockets here would hide its death from its children."""
    for entry in list(Path("/dev/fd").iterdir()):
        descriptor = int(entry.name)
        if descriptor > 2 and descriptor not in kept:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.close(descriptor)
