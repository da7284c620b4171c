"""The end of `goque demo`: the dashboard on what it has done, for as long as its reader wants."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from goque.dashboard import PACKAGES
from goque.errors import GoqueError

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0


def is_installed() -> bool:
    """Return whether the packages of the dashboard are there."""
    return all(find_spec(name) is not None for name in PACKAGES)


@contextmanager
def dashboard(directory: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Serve the dashboard of the database in a directory, on any free port; yields its address.

    Raises:
        GoqueError: it does not start.
    """
    log = directory / "dashboard.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "goque.cli", "dashboard", "--port", "0"],
            cwd=directory,
            env={**env, "GOQUE_DATABASE_URL": f"sqlite:///{directory}/goque.db"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            process_group=0,  # Ctrl-C reaches the demo alone, which stops all in order
        )
    try:
        yield _address_in(log, server)
    finally:
        server.terminate()
        server.wait(STOP_SECONDS)


def _address_in(log: Path, server: subprocess.Popen[bytes]) -> str:
    """Wait until the dashboard has logged its address."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        for word in log.read_text("utf-8", "replace").split():
            if word.startswith("http://"):
                return word
        time.sleep(0.05)
    raise GoqueError(f"the dashboard does not start: {log.read_text('utf-8', 'replace').strip()}")
