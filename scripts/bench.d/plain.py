"""Plain processes without a tree: the floors for starting and idling."""

from __future__ import annotations

import os
import signal
import sys
import time


def run_one(url: str) -> None:
    """Import the app, connect, claim one task, call its handler, finish it."""
    from bench_app import burn  # noqa: PLC0415 - importing it is part of what is measured

    from goque import open_storage  # noqa: PLC0415 - the same
    from goque.outcome import Change  # noqa: PLC0415 - the same
    from goque.task_row import TaskStatus  # noqa: PLC0415 - the same

    storage = open_storage(url)
    (row,) = storage.claim_due("noop", "plain", 1)
    burn(0)
    storage.settle_if_held([Change(row.token, TaskStatus.DONE, row.attempts)])
    storage.close()


def idle(url: str, workers: int) -> None:
    """Import the app, connect, fork workers, print all pids, and wait for the end of standard input."""
    import bench_app  # noqa: F401, PLC0415 - importing it is part of what is measured

    from goque import open_storage  # noqa: PLC0415 - the same

    pids = []
    for _ in range(workers):
        pid = os.fork()
        if not pid:
            while True:
                time.sleep(3600)
        pids.append(pid)
    open_storage(url).ping()
    print(os.getpid(), *pids, flush=True)
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
