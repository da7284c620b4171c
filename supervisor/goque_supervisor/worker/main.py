"""The process of one worker slot: it prepares for crashes, then runs a sync or an async worker."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from goque.execution.follow_ups import prepare_follow_ups_by
from goque.execution.transaction_steps import record_steps_through
from goque.handlers.processor_table import processors_of
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.process_signals import reset_signals
from goque_supervisor.ipc.run_directory import stack_path
from goque_supervisor.nursery.app_registry import registry_of_this_process
from goque_supervisor.worker import captured_output
from goque_supervisor.worker.replayed import write_nothing
from goque_supervisor.worker.sync_worker import SyncWorker

if TYPE_CHECKING:
    from goque_supervisor.worker.async_worker import AsyncWorker

log = logging.getLogger("goque.worker")

ASYNC_QUEUE_THREADS: Final = "goque-queue"
"""The names of the threads of `async_queue` start so; they are idle and end with the interpreter.

The manager has the same constant; it is not imported from there, because a worker never imports the storage.
"""


def _prepare_process(boot: dict[str, Any]) -> int:
    """Make the interpreter write its stack on a crash, and the kernel kill workers first when memory runs out."""
    # the fetcher empties the file after it has read a stack that somebody asked for
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    stack = os.open(stack_path(boot["box"]), flags, 0o600)
    faulthandler.enable(stack, all_threads=False)
    _write_stack_at_signal(stack)
    if os_process.IS_LINUX:
        try:
            Path("/proc/self/oom_score_adj").write_text("500", "ascii")
        except OSError as error:
            log.debug("oom_score_adj cannot be written: %s", error)
    return stack


def _write_stack_at_signal(stack: int) -> None:
    """Write the stack at SIGUSR2: before the root kills this process, and when somebody asks for the stack of a task.

    The interpreter writes it in the signal handler itself. So it needs no Python code to run, and a C call that holds
    the interpreter's lock does not delay it. Other threads are left out: their frames may change while they are read.
    """
    faulthandler.unregister(signal.SIGUSR2)
    faulthandler.register(signal.SIGUSR2, stack, all_threads=False)


def _take_back(stack: int) -> None:
    """Set up what the import of the app, in the nursery or here, may have changed: signals, streams, faulthandler."""
    reset_signals()
    faulthandler.enable(stack, all_threads=False)
    _write_stack_at_signal(stack)
    captured_output.flush_each_line()
    captured_output.install()


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the worker of one slot in this process."""
    stack = _prepare_process(boot)
    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    _take_back(stack)
    prepare_follow_ups_by(registry.prepare_tasks)
    record_steps_through(registry)
    if boot.get("replays"):
        write_nothing(boot["box"])
    _worker_class(is_async=boot["is_async"])(boot, channel, processors_of(registry)).run()
    _warn_of_threads()


def _worker_class(*, is_async: bool) -> type[SyncWorker | AsyncWorker]:
    if not is_async:
        return SyncWorker
    from goque_supervisor.worker.async_worker import AsyncWorker  # noqa: PLC0415 - asyncio takes 2 MiB

    return AsyncWorker


def _warn_of_threads() -> None:
    """Log why this process does not end at once: the interpreter waits for threads that are not daemons."""
    names = [thread.name for thread in threading.enumerate() if not thread.daemon and not _is_known(thread)]
    if names:
        log.warning(
            "handlers left threads running (%s): waiting for them until the process is killed",
            ", ".join(names),
        )


def _is_known(thread: threading.Thread) -> bool:
    """Return whether it is the main thread or one of `async_queue`."""
    return thread is threading.main_thread() or thread.name.startswith(ASYNC_QUEUE_THREADS)
