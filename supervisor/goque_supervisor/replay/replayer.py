"""Replays tasks: one process imports the app, and each task runs in a worker that is forked from it.

The worker is that of a tree, with its time limits and its black box. This process stands for the root, which starts and
ends workers, and for the fetcher, which sends tasks and takes outcomes. It uses no database.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from goque.errors import ConfigurationError, GoqueError
from goque.execution.inline_steps import MemorySteps
from goque.options import ProcessorSpec
from goque.task_row import TaskRow
from goque.telemetry.logs import format_here
from goque_supervisor.ipc import messages, os_process
from goque_supervisor.ipc.control import ChildStarted, StartFailed
from goque_supervisor.ipc.run_directory import RunDirectory, RunDirectoryError, open_run_directory
from goque_supervisor.ipc.sockets import FetcherSocket, make_keys
from goque_supervisor.replay.app_process import AppProcess
from goque_supervisor.replay.result import Replayed
from goque_supervisor.replay.worker_run import WorkerRun, boot_of
from goque_supervisor.settings import SuperviseOptions

TICK: Final = 0.02
"""Seconds between two looks at whether a worker has ended or must be ended."""

END_TIME: Final = 5.0
_POOL: Final = "replay"


class ToReplay(NamedTuple):
    """A task to replay.

    Attributes:
        row: the task, as a claim would give it.
        steps: its recorded steps and signals.
    """

    row: TaskRow
    steps: MemorySteps


class Replayer:
    """A context manager that has the app imported.

    Args:
        options: the options of a tree, of which the app, the database and the log level matter here.
        shows_output: whether what handlers print and log is shown on standard error.

    Raises:
        ConfigurationError: the app does not import, or no directory for its files can be made.
    """

    def __init__(self, options: SuperviseOptions, *, shows_output: bool = True) -> None:
        self._options = options
        self._shows_output = shows_output
        self._runs: dict[int, WorkerRun] = {}
        self._count = 0

    def __enter__(self) -> Self:
        try:
            self._directory: RunDirectory = open_run_directory(None)
        except RunDirectoryError as error:
            raise ConfigurationError(str(error)) from error
        self._other_children = set(os_process.children())
        os_process.become_subreaper()  # workers are forked in two steps, and are then children of this process
        self._app_process = AppProcess(self._options)
        try:
            self._app = self._app_process.wait_until_ready()
        except BaseException:
            self._app_process.kill()
            self._app_process.close()
            self._directory.remove()
            raise
        public, secret = make_keys()
        endpoint = self._directory.endpoint(_POOL)
        self._socket = FetcherSocket(endpoint, secret)
        self._socket.watch(self._app_process.channel.fileno())
        self._common = {
            "app": self._options.app,
            "registry_fd": None,
            "database_url": self._app["database_url"],
            "log_format": format_here(self._options.log_format),
            "log_level": self._options.log_level,
            "endpoint": endpoint,
            "server_key": public,
        }
        self.specs = {one["type"]: msgspec.convert(one, ProcessorSpec) for one in self._app["types"]}
        self._pool_of = {one["type"]: one["pool"] for one in self._app["types"]}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._runs.values():
            run.kill()
        if kind is not None:
            self._app_process.kill()
        self._app_process.close()
        self._end_children()
        os_process.become_subreaper(wanted=False)
        for run in self._runs.values():
            run.close()
        self._socket.close()
        self._directory.remove()

    def _end_children(self) -> None:
        """Kill what is left of the workers, and programs that their handlers have started, and wait for them."""
        deadline = time.monotonic() + END_TIME
        while time.monotonic() < deadline:
            left = set(os_process.children()) - self._other_children
            if not left:
                return
            for pid in left:
                os_process.kill_group(pid)
                os_process.kill(pid)
                with contextlib.suppress(ChildProcessError):  # it is reaped already
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)

    @property
    def types(self) -> list[str]:
        """The types that the app runs."""
        return list(self.specs)

    def replay(self, tasks: Iterable[ToReplay], *, workers: int = 1) -> Iterator[Replayed]:
        """Run tasks, `workers` at a time, and yield how each ended, as they end.

        Raises:
            GoqueError: the process that has the app has ended.
        """
        waiting = deque(tasks)
        while waiting or self._runs:
            while waiting and len(self._runs) < workers:
                self._start(waiting.popleft())
            self._socket.wait(TICK)
            self._read()
            for key, run in list(self._runs.items()):
                result = run.advance(self._socket)
                if result is not None:
                    del self._runs[key]
                    run.close()
                    yield result

    def _start(self, task: ToReplay) -> None:
        self._count += 1
        spec, pool = self.specs[task.row.type], self._pool_of[task.row.type]
        box = self._directory.box(_POOL, 0, self._count)
        run = WorkerRun(self._count, task.row, task.steps, spec, box, shows_output=self._shows_output)
        self._runs[run.key] = run
        boot = boot_of(run, self._common) | {
            "pool": pool,
            "options": self._app["pools"][pool],
            "is_async": spec.is_async,
        }
        self._app_process.start_worker(run.key, boot, run.theirs)
        run.theirs.close()

    def _read(self) -> None:
        by_identity = {run.identity.encode(): run for run in self._runs.values()}
        for identity, data in self._socket.receive():
            if identity in by_identity:
                by_identity[identity].on_message(messages.decode_from_worker(data))
        for message in self._app_process.channel.receive():
            match message:
                case ChildStarted(key, pid):
                    self._runs[key].pid = pid
                case StartFailed(key, why):
                    self._runs[key].on_not_started(why)
        if self._app_process.channel.closed and any(not run.pid for run in self._runs.values()):
            raise GoqueError("the process that has imported the app has ended; nothing can be replayed")
