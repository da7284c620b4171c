"""Stop a database server that `scripts/services up` has started."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PATIENCE = 60.0
"""Seconds to wait for the end of the server."""


def stop_server(pid: int) -> None:
    """Shut a server down, and wait until its process has ended."""
    try:
        os.kill(pid, signal.SIGINT if _is_postgres(pid) else signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and _is_running(pid):
            time.sleep(0.05)
    except ProcessLookupError:
        pass


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _is_postgres(pid: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
