"""Take over the tasks and workers of the last fetcher. Running tasks continue, and no outcome is lost."""

from __future__ import annotations

import logging
import time

from goque_supervisor.fetcher.dead_workers import DeadWorkers, read_box
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.stderr_relay import StderrRelay
from goque_supervisor.fetcher.worker_handle import WorkerHandle
from goque_supervisor.fetcher.worker_pool import REVOCATION_SETTLES, WorkerPool
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.box_records import Contents
from goque_supervisor.ipc.control import TakeOver, WorkerExited, WorkerStarted
from goque_supervisor.ipc.messages import EPOCH_BITS
from goque_supervisor.ipc.run_directory import stderr_path

log = logging.getLogger("goque.fetcher")


def take_over(
    order: TakeOver, in_flight: InFlight, worker_pool: WorkerPool, dead_workers: DeadWorkers
) -> None:
    """Find out where every claimed task is: black boxes record which tasks run and which have ended.

    1. Revoke all jobs that earlier fetchers have sent, so that a job that has not started never starts.
    2. When every worker must have seen the revocation, read the black boxes of living and dead workers.
    3. Requeue the tasks that no black box has, because they have not started.
    """
    for started in order.live:
        worker = WorkerHandle.of(started, taken_over=True)
        worker.box.revoke_through((order.epoch << EPOCH_BITS) - 1)
        worker_pool.add(worker)
    if order.live:
        time.sleep(REVOCATION_SETTLES)
    for worker in worker_pool:
        _take_over_worker(worker, in_flight)
    for notice in order.dead:
        contents = read_box(notice.box)
        StderrRelay(stderr_path(notice.box)).forward(rest=True)
        jobs = _jobs_in(contents, in_flight, notice)
        dead_workers.settle_dead_worker(notice, jobs, contents)
    for task in list(in_flight.by_id.values()):
        if not task.seq:
            in_flight.requeue(task)
    if in_flight:
        log.info("took over %d workers and %d claimed tasks", len(order.live), len(in_flight))


def _take_over_worker(worker: WorkerHandle, in_flight: InFlight) -> None:
    """Match the running and finished jobs in a living worker's black box with the claims."""
    contents = worker.box.read()
    jobs = _jobs_in(contents, in_flight, worker.started)
    jobs |= _jobs_claimed_again(contents, in_flight, worker.started)
    worker.jobs = {seq: task for seq, task in jobs.items() if seq in contents.running}
    for seq, (_running, outcome) in contents.finished.items():
        if seq in jobs:
            in_flight.end(jobs[seq], messages.decode_outcome(outcome))
        else:
            # the last fetcher committed it, and died before it told the worker
            worker.acknowledged.append(seq)


def _jobs_claimed_again(
    contents: Contents, in_flight: InFlight, worker: WorkerStarted
) -> dict[int, ClaimedTask]:
    """Return the claimed tasks that a living worker runs under an earlier claim. The run counts for the new claim."""
    jobs: dict[int, ClaimedTask] = {}
    for seq, running in contents.running.items():
        task = in_flight.by_id.get(running.task_id)
        if task is not None and not task.seq:
            task.seq, task.sent_at, task.incarnation = seq, running.started, worker.incarnation
            task.app_version = worker.app_version
            jobs[seq] = task
    return jobs


def _jobs_in(
    contents: Contents, in_flight: InFlight, worker: WorkerStarted | WorkerExited
) -> dict[int, ClaimedTask]:
    """Return the claimed tasks in a worker's black box, by the number of their dispatch."""
    entries = [*contents.running.values(), *(running for running, _outcome in contents.finished.values())]
    jobs: dict[int, ClaimedTask] = {}
    for running in entries:
        task = in_flight.by_id.get(running.task_id)
        if task is not None and task.row.claims == running.claims and not task.seq:
            task.seq, task.sent_at, task.incarnation = running.seq, running.started, worker.incarnation
            task.app_version = worker.app_version
            jobs[running.seq] = task
    return jobs
