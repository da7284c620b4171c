"""System calls about processes: Linux's own through ctypes, on other systems those of POSIX."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

IS_LINUX: Final = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, and check that the parent is still alive.

    A process that was forked in two steps waits here until `parent` has become its parent, because the death signal
    depends on the parent at the time of this call.
    """
    deadline = time.monotonic() + 10
    while os.getppid() != parent and time.monotonic() < deadline:
        time.sleep(0.0005)
    if IS_LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the root died before it could become our parent


def become_subreaper(*, wanted: bool = True) -> None:
    """Become the parent of descendants whose own parent ends (prctl(2)), or stop being it; Linux only."""
    if IS_LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, int(wanted))


def set_name(name: str) -> None:
    """Set the short name that ps and top show for this process; Linux keeps 15 bytes."""
    if IS_LINUX:
        _prctl(_PR_SET_NAME, name.encode()[:15])


def children() -> list[int]:
    """Return the pids of this process's children, including dead ones; empty if the system does not report them.

    `/proc/self/task/*/children` would be quicker, but many kernels are built without it.
    """
    if not IS_LINUX:
        return []
    me = os.getpid()
    try:
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent_of(path) == me]
    except OSError:
        return []  # no descriptor is free: the caller asks again


def _parent_of(process: Path) -> int:
    try:
        stat = (process / "stat").read_text("utf-8", "replace")
    except OSError:
        return 0  # the process has just ended
    return int(
        stat.rpartition(")")[2].split()[1]
    )  # the name before it may contain anything, also parentheses


class Usage(NamedTuple):
    """The resident memory of a process in bytes, and its CPU seconds so far."""

    memory: int
    cpu_seconds: float


def usage_of(pid: int) -> Usage | None:
    """Return the memory and CPU time of a process; None if it has ended or the system does not report them."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    ticks = int(stat[11]) + int(stat[12])
    return Usage(int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal; True if the system does not report this."""
    if not IS_LINUX:
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return False  # it has just ended
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def exists(pid: int) -> bool:
    """Return whether there is a process with this pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def state_of(pid: int) -> str:
    """Return the letter that ps shows for the state of a process, such as T for stopped; empty if it is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def proportional_memory(pid: int) -> int | None:
    """Return a process's memory in bytes, of shared pages its part; None if the system does not report it.

    The kernel makes the reader wait while the process changes its memory map. A process that hangs in the kernel can
    hold up the reader as long as it hangs.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii", "replace")
    except OSError:
        return None  # it has ended, or this kernel does not have the file
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), None)


def kill_group(group: int) -> None:
    """Kill a process group, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is gone already
        os.killpg(group, signal.SIGKILL)


def kill(pid: int) -> None:
    """Kill one process, if it still exists."""
    with contextlib.suppress(ProcessLookupError):  # it ended by itself; its exit is read soon
        os.kill(pid, signal.SIGKILL)


def kill_users_of(directory: Path) -> None:
    """Kill, with their groups, all processes that have a file of this directory mapped or open as stderr."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            uses = str(directory) in (entry / "maps").read_text("utf-8", "replace")
        except OSError:
            continue  # ended meanwhile, or another user's
        if uses:
            kill_group(int(entry.name))
            kill(int(entry.name))


def boot_id() -> str:
    """Return a text that differs for each boot of this machine or container."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{kernel}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory so far; 0 if it does not report this."""
    try:
        for line in Path("/proc/vmstat").read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass  # an older kernel, or a container that hides the number
    return 0


def _prctl(option: int, argument: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
