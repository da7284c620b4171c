"""A `goque dashboard` in a process of its own, with its log."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventually import eventually
from tree import python_command


@dataclass(frozen=True)
class DashboardProcess:
    """A running dashboard: its port, its pid and its log."""

    port: int
    pid: int
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8")

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send one request on a connection of its own; the answer is read already, see `text`."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.request(method, path, body, {name.replace("_", "-"): one for name, one in headers.items()})
            answer = line.getresponse()
            answer.text = answer.read().decode()  # type: ignore[attr-defined]  # kept for the test
            return answer
        finally:
            line.close()


@contextlib.contextmanager
def running_dashboard(
    directory: Path, url: str, *options: str, descriptors: int | None = None, **environment: str
) -> Iterator[DashboardProcess]:
    """Start `goque dashboard` with a limit of descriptors, and end it."""

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    log_path = directory / "dashboard.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            python_command("-m", "goque.cli", "dashboard", "--port", "0", *options),
            cwd=directory,
            stderr=log,
            env={**own, "GOQUE_DATABASE_URL": url, **environment},
            preexec_fn=limit,  # noqa: PLW1509 - this process has no thread that matters
        )
    try:
        found = eventually(lambda: re.search(r":(\d+)/ ", log_path.read_text("utf-8")), within=60)
        yield DashboardProcess(int(found[1]), process.pid, log_path)
    finally:
        process.terminate()
        process.wait(30)
