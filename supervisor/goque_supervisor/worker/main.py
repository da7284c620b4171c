"""The process of one worker slot: prepared for crashes, then one of the two kinds of worker."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from goque.processor_table import processors_of
from goque.queue.async_manager import THREAD_NAME
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import Channel
from goque_supervisor.ipc.run_directory import stack_path
from goque_supervisor.nursery.preload import registry_of_this_process
from goque_supervisor.worker import captured_output
from goque_supervisor.worker.async_worker import AsyncWorker
from goque_supervisor.worker.sync_worker import SyncWorker

log = logging.getLogger("goque.worker")


def _prepare_process(boot: dict[str, Any]) -> None:
    """Let the interpreter write its stack on a crash, and let the kernel prefer us when memory runs out."""
    stack = os.open(stack_path(boot["box"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(signal.SIGUSR2, stack, all_threads=False)  # the root asks so before it kills us
    if os_process.IS_LINUX:
        try:
            Path("/proc/self/oom_score_adj").write_text("500", "ascii")
        except OSError as error:
            log.debug("oom_score_adj stays as it is: %s", error)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper at this point
    captured_output.stand_in()


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the worker of one slot in this process."""
    _prepare_process(boot)
    registry = registry_of_this_process(boot["app"], boot["registry_fd"])
    processor = processors_of(registry).get(boot["task_type"])
    kind = AsyncWorker if processor.spec.is_async else SyncWorker
    kind(boot, channel, processor).run()
    _tell_of_threads()


def _is_known(thread: threading.Thread) -> bool:
    """Whether it is the main thread or one of `async_queue`, which idles now and ends with the interpreter."""
    return thread is threading.main_thread() or thread.name.startswith(THREAD_NAME)


def _tell_of_threads() -> None:
    """Say why this process does not end at once: the interpreter waits for threads that are no daemons."""
    names = [thread.name for thread in threading.enumerate() if not thread.daemon and not _is_known(thread)]
    if names:
        log.warning(
            "handlers left threads running (%s): waiting for them until the process is killed",
            ", ".join(names),
        )
