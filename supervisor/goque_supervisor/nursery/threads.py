"""The threads of this process beside its main thread: those of Python, and those that C libraries started."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

_THREADS: Final = Path("/proc/self/task")
_ENDING: Final = 0.2
"""Seconds in which a thread that was joined has left the list of the system too."""


def thread_names() -> list[str]:
    """Return the names of the other threads, sorted; threads of C libraries by the system's name for them."""
    python = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    known = {thread.native_id for thread in python}
    native = _native_threads(known)
    deadline = time.monotonic() + _ENDING
    while native and time.monotonic() < deadline:
        time.sleep(0.01)
        native = _native_threads(known)
    counts = Counter(f"native {name!r}" for name in native)
    names = [name if count == 1 else f"{count} {name}" for name, count in counts.items()]
    return sorted([*(thread.name for thread in python), *names])


def _native_threads(known: set[int | None]) -> list[str]:
    """Return the names of the threads that Python does not know; empty where the system does not list them."""
    try:
        others = [entry for entry in _THREADS.iterdir() if int(entry.name) not in {os.getpid(), *known}]
    except OSError:
        return []
    names = []
    for entry in others:
        try:
            names.append((entry / "comm").read_text("utf-8", "replace").strip())
        except OSError:
            continue  # it ended while we looked
    return names
