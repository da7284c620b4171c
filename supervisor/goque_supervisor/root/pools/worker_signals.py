"""The signals that a fetcher asks the root to send to a worker."""

from __future__ import annotations

from goque_supervisor.ipc.control import Interrupt, StackWanted
from goque_supervisor.root.child import Child
from goque_supervisor.root.processes import Processes


def signal_worker(processes: Processes, worker: Child | None, wanted: Interrupt | StackWanted) -> None:
    """Do what a fetcher wants of a worker; one that has ended meanwhile is None."""
    if worker is None:
        return
    if isinstance(wanted, Interrupt):
        processes.interrupt(worker, wanted.seq, wanted.reason, wanted.grace)
    else:
        processes.ask_for_stack(worker)
