"""The guard: a process that waits for the root to die, and then kills the process groups that it left.

When the root dies, the kernel signals its children, but not the processes that their handlers started. The guard knows
each child's process group and outlives the root by a moment.

The guard becomes a shell, because a shell takes a tenth of the memory of a process that was forked from the root. If
there is no shell, or the first guard has died, the guard is a loop in Python.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.process_signals import fork_without_signals

SHELL: Final = "/bin/sh"
NAME: Final = "goque:guard"
SCRIPT: Final = f"""
printf %s {NAME} >/proc/self/comm
groups=
while read -r line; do
    case $line in
    +*) groups="$groups ${{line#+}}" ;;
    -*) kept=
        for group in $groups; do
            [ "$group" = "${{line#-}}" ] || kept="$kept $group"
        done
        groups=$kept ;;
    esac
done
for group in $groups; do
    kill -s KILL -- "-$group"
done
"""
"""What the shell does, from the same lines on its standard input as `_watch`."""


class Guard:
    """The root's side: forks the guard, and tells it which process groups exist."""

    def __init__(self) -> None:
        self.pid = 0
        self._pipe = -1
        self._groups: set[int] = set()
        self._shell = SHELL if os_process.IS_LINUX and Path(SHELL).exists() else ""

    def start(self) -> None:
        """Fork a guard, the first or the next after one that died, and tell it all groups."""
        reader, writer = os.pipe()
        self.pid = fork_without_signals()
        if self.pid == 0:
            try:
                _close_all_but(reader)
                _ignore_orders_to_stop()
                if self._shell:
                    _become_shell(self._shell, reader)
                _watch(reader)
            finally:
                os._exit(0)
        os.close(reader)
        self._shell = ""
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pipe = writer
        os.set_blocking(writer, False)
        for group in self._groups:
            self._tell(f"+{group}\n")

    def add(self, group: int) -> None:
        """Tell the guard that a process group exists."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Tell the guard that a process group is gone, before the kernel can use its number again."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """End the guard: all groups that it knew are gone."""
        for group in list(self._groups):
            self.discard(group)
        os.close(self._pipe)
        self._pipe = -1

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the guard died: the root starts another and tells it every group
            os.write(self._pipe, line.encode())


def _ignore_orders_to_stop() -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _become_shell(shell: str, reader: int) -> None:
    """Replace this process by a shell that runs the script; returns if the system refuses."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(reader, 0)
    for descriptor in (1, 2):  # the shell would complain about each group that is gone
        os.dup2(null, descriptor)
    with contextlib.suppress(OSError):
        os.execv(shell, ["sh", "-c", SCRIPT])  # noqa: S606 - a fixed program and a fixed text


def _watch(reader: int) -> None:
    os_process.set_name(NAME)
    groups: set[int] = set()
    rest = b""
    while data := os.read(reader, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            group = int(line[1:])
            (groups.add if line[:1] == b"+" else groups.discard)(group)
    for group in groups:
        os_process.kill_group(group)


def _close_all_but(kept: int) -> None:
    highest = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, kept)
    os.closerange(kept + 1, min(highest, 65536) if highest > 0 else 65536)
    sys.stdin = None
