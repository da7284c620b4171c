"""Servers of a test's own, from the installed binaries, which it may kill, stop, break and start again."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import psutil
import services

RUN: dict[str, Callable[..., Popen[bytes]]] = {
    "postgresql": services.run_postgresql,
    "mysql": services.run_mysql,
}
STOP_FAST = {"postgresql": signal.SIGINT, "mysql": signal.SIGTERM}
"""Ends it in order, and cuts its clients."""

STOP_AT_ONCE = {"postgresql": signal.SIGQUIT, "mysql": signal.SIGKILL}
"""Ends it as a loss of power does: it recovers when it starts again."""


class PrivateServer:
    """A PostgreSQL or a MariaDB with its data in a temporary directory.

    Attributes:
        name: `postgresql` or `mysql`.
        url: the URL of a database that is there from the start.
        data: the directory of its data, under `db`, and of its log.
    """

    def __init__(self, name: str) -> None:
        (kind,) = [server for server in services.SERVERS if server.name == name]
        self.name = name
        self.data = Path(tempfile.mkdtemp(prefix=f"goque-{name}-"))
        self._kind = kind
        self.port = services._free_port()
        started = kind.start(self.data, self.port)
        if started is None:
            shutil.rmtree(self.data)
            raise RuntimeError(f"no {name} is installed; install {' '.join(kind.packages)}")
        self.process, self.url = started
        self._wait_until_it_answers()

    def start(self, **environment: str) -> None:
        """Start it again."""
        self.process = RUN[self.name](self.data, self.port, **environment)
        self._wait_until_it_answers()

    def stop(self, number: signal.Signals | None = None) -> None:
        """Stop it, and wait until it is gone."""
        self.resume()
        self.process.send_signal(number or STOP_FAST[self.name])
        self.process.wait(services.START_PATIENCE)

    def restart(self, number: signal.Signals) -> None:
        """Stop it by this signal, and start it again."""
        self.stop(number)
        self.start()

    def pause(self) -> None:
        """Stop all its processes where they are: clients hear silence, and no error."""
        self._each(psutil.Process.suspend)

    def resume(self) -> None:
        """Let all its processes go on."""
        self._each(psutil.Process.resume)

    def repair(self) -> None:
        """Make it answer again, whatever a test has done to it."""
        if self.process.poll() is None:
            self.resume()
        else:
            self.start()

    @property
    def log(self) -> str:
        """What it has written to its log."""
        return (self.data / "log").read_text("utf-8", "replace")

    def answers(self) -> bool:
        """Whether it takes connections."""
        return services._is_reachable(self._kind, self.url)

    def close(self) -> None:
        """End it, and remove its data."""
        if self.process.poll() is None:
            self.stop(STOP_AT_ONCE[self.name])
        shutil.rmtree(self.data)

    def _each(self, act: Callable[[psutil.Process], None]) -> None:
        if self.process.poll() is None:
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):  # it served a client that has left meanwhile
                    act(process)

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + services.START_PATIENCE
        while not self.answers():
            assert self.process.poll() is None, services._last_words(self.data)
            assert time.monotonic() < end, services._last_words(self.data)
            time.sleep(0.02)
