"""How a new fetcher takes over: nothing that runs is disturbed, nothing that ended is lost, nothing runs twice."""

from __future__ import annotations

import logging
import time

from goque_supervisor.fetcher.dead_workers import DeadWorkers, read_box
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import REVOCATION_SETTLES, WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.blackbox import Contents
from goque_supervisor.ipc.control import TakeOver
from goque_supervisor.ipc.messages import EPOCH_BITS
from goque_supervisor.ipc.run_directory import stderr_path

log = logging.getLogger("goque.fetcher")


def adopt(order: TakeOver, holdings: InFlight, crew: WorkerPool, burial: DeadWorkers) -> None:
    """Place every held task: the black boxes tell what runs and what has ended; the rest begins anew.

    1. Revoke all that earlier fetchers have sent, so that what has not begun never will.
    2. Once every worker must have seen that, read the boxes of the living and of the dead.
    3. Whatever no box knows is not begun: it waits for a worker.
    """
    for started in order.live:
        mate = WorkerHandle.of(started, adopted=True)
        mate.box.revoke_through((order.epoch << EPOCH_BITS) - 1)
        crew.join(mate)
    if order.live:
        time.sleep(REVOCATION_SETTLES)
    for mate in crew:
        contents = mate.box.read()
        jobs = _jobs_in(contents, holdings, mate)
        mate.jobs = {seq: held for seq, held in jobs.items() if seq in contents.running}
        for seq, (_running, outcome) in contents.finished.items():
            if seq in jobs:
                holdings.end(jobs[seq], messages.decode_outcome(outcome))
            else:
                mate.acknowledged.append(seq)  # committed by the fetcher before, which could not say so
    for notice in order.dead:
        contents = read_box(notice.box)
        StderrRelay(stderr_path(notice.box), from_now=False).forward(rest=True)
        burial.bury(notice, _jobs_in(contents, holdings, None), contents)
    for held in list(holdings.by_id.values()):
        if not held.seq:
            holdings.wait_again(held)
    if holdings:
        log.info("adopted %d workers and %d claimed tasks", len(order.live), len(holdings))


def _jobs_in(contents: Contents, holdings: InFlight, mate: WorkerHandle | None) -> dict[int, ClaimedTask]:
    """Match what a black box tells with the claims that we hold."""
    entries = [*contents.running.values(), *(running for running, _outcome in contents.finished.values())]
    jobs: dict[int, ClaimedTask] = {}
    for running in entries:
        held = holdings.by_id.get(running.task_id)
        if held is not None and held.row.claims == running.claims and not held.seq:
            held.seq, held.sent_at, held.mate = running.seq, running.started, mate
            jobs[running.seq] = held
    return jobs
