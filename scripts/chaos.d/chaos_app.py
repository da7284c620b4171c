"""Handlers that behave well or badly. A task's "temper" selects the behavior. Each run is recorded in the diary."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

from chaos_limits import NARROW, PACE, PER_TENANT
from diary import note, place_of, run_of

import goque
from goque import Registry, Task, retry

OPTIONS = {"max_attempts": 12, "retry": retry.static(0.1), "timeout_grace": 0.5}
registry = Registry()
calm_pool = registry.pool("default", workers=2, async_workers=1, concurrency=8, fetch_tick=0.3)
wild_pool = registry.pool("wild", workers=2, async_workers=1, concurrency=8, max_memory=200, fetch_tick=0.3)


def fine(run: int) -> None:
    """Take up to 20 ms."""
    time.sleep(random.uniform(0, 0.02))


def long(run: int) -> None:
    """Take long enough for several acts of the nemesis."""
    time.sleep(random.uniform(0.5, 4.0))


def brief(run: int) -> None:
    """Hold a place long enough to be seen by a run that is one too many."""
    time.sleep(random.uniform(0.05, 0.3))


def raising(run: int) -> None:
    """Fail twice."""
    if run <= 2:
        raise ValueError(f"chosen failure of run {run}")


def snoozing(run: int) -> None:
    """Snooze twice."""
    if run <= 2:
        raise goque.Snooze(0.1)


def refused(run: int) -> None:
    """Be refused twice by a service, which holds back the whole type."""
    if run <= 2:
        raise goque.RateLimited(0.2)


def following(run: int) -> None:
    """Leave a follow-up behind, and fail once all the same."""
    task = goque.current_task()
    assert task is not None
    goque.follow_up("plain", {"temper": "fine"}, external_id=f"after:{task.id}")
    time.sleep(random.uniform(0, 0.02))
    if run == 1:
        raise ValueError("chosen failure of run 1")


def stepping(run: int) -> None:
    """Record steps, sleep between them, and fail once all the same."""
    _record("first", run)
    _record("second", run)
    task = goque.current_task()
    assert task is not None
    task.sleep("nap", 0.1)
    if run <= 2:
        raise ValueError(f"chosen failure of run {run}")
    _record("third", run)


def stumbling(run: int) -> None:
    """Die in a step, twice."""
    _record("first", run)
    _record("second", run, dies=run <= 2)
    _record("third", run)


def _record(name: str, run: int, *, dies: bool = False) -> None:
    task = goque.current_task()
    assert task is not None
    task.step(name, _step, task.id, run, name, dies)
    note("kept", task.id, run, name, time.time())


def _step(task_id: str, run: int, name: str, dies: bool) -> None:  # noqa: FBT001 - of a step
    note("step", task_id, run, name, time.time())
    time.sleep(random.uniform(0, 0.02))
    if dies:
        crashing(run)


def canceling(run: int) -> None:
    """Cancel the task."""
    raise goque.TaskCanceled("chosen")


def crashing(run: int) -> None:
    """Die twice of a signal that ends the interpreter."""
    if run <= 2:
        os.kill(os.getpid(), random.choice([signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL]))
        time.sleep(10)


def exiting(run: int) -> None:
    """Exit the process twice, the first time with exit code 0."""
    if run <= 2:
        os._exit(3 * (run - 1))


def slow(run: int) -> None:
    """Take too long once, and end at the timeout."""
    if run == 1:
        time.sleep(60)


def hanging(run: int) -> None:
    """Take too long once, and end only by SIGKILL."""
    while run == 1:
        try:
            time.sleep(60)
        except BaseException:
            continue


def leaking(run: int) -> None:
    """Leak 40 MB."""
    _LEAKED.append(bytearray(b"x") * 40_000_000)


_LEAKED: list[bytearray] = []


def forking(run: int) -> None:
    """Start a program and a fork that keep running, and die."""
    if run > 1:
        return
    subprocess.Popen(["sleep", "600"])
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


PLAIN: Final[dict[Callable[[int], None], int]] = {
    fine: 20,
    long: 2,
    raising: 4,
    snoozing: 3,
    canceling: 1,
    following: 4,
    stepping: 4,
}
WILD: Final[dict[Callable[[int], None], int]] = {
    fine: 6,
    crashing: 3,
    stumbling: 3,
    exiting: 3,
    slow: 1,
    hanging: 1,
    leaking: 2,
    forking: 2,
}
NARROW_TEMPERS: Final[dict[Callable[[int], None], int]] = {
    fine: 15,
    brief: 20,
    raising: 2,
    crashing: 1,
    forking: 1,
    slow: 1,
}
PACED: Final[dict[Callable[[int], None], int]] = {fine: 8, raising: 1, refused: 1}
TEMPERS: Final = {temper.__name__: temper for temper in (*PLAIN, *WILD, *NARROW_TEMPERS, *PACED)}


def weights(task_type: str) -> dict[str, int]:
    """Return the relative frequency of each temper of a type."""
    if task_type in ("many", "keyed"):
        return {"fine": 20, "long": 5, "raising": 4, "crashing": 1, "slow": 1}
    if task_type == "calm":
        return {"fine": 2, "lasting": 1}
    chosen = {"plain": PLAIN, "wild": WILD, "narrow": NARROW_TEMPERS, "paced": PACED}[task_type]
    return {temper.__name__: weight for temper, weight in chosen.items()}


@registry.processor("plain", pool=calm_pool, timeout=5, **OPTIONS)
def plain(task: Task) -> None:
    """Run a temper that leaves its process alive."""
    _run(task)


@registry.processor("wild", pool=wild_pool, timeout=1, **OPTIONS)
def wild(task: Task) -> None:
    """Run a temper that can end its process."""
    _run(task)


def _run(task: Task) -> None:
    temper = task.payload["temper"]
    with run_of(task.id, temper) as run:
        TEMPERS[temper](run)


@registry.processor("many", pool=calm_pool, timeout=3, **OPTIONS)
async def many(task: Task) -> None:
    """Run several tasks in one process. One of them may end the process."""
    temper = task.payload["temper"]
    with run_of(task.id, temper) as run:
        await _run_in_loop(temper, run)


async def _run_in_loop(temper: str, run: int) -> None:
    if temper == "long" or (temper == "slow" and run == 1):
        await asyncio.sleep(60 if temper == "slow" else random.uniform(0.5, 2.5))
    elif temper == "fine":
        await asyncio.sleep(random.uniform(0, 0.02))
    elif temper != "slow":
        TEMPERS[temper](run)


@registry.processor("narrow", pool=wild_pool, timeout=1, limit=NARROW, **OPTIONS)
def narrow(task: Task) -> None:
    """Run in one of the few places of the type."""
    temper = task.payload["temper"]
    with run_of(task.id, temper) as run, place_of("narrow", NARROW, task.id, run):
        TEMPERS[temper](run)


@registry.processor(
    "keyed",
    pool=calm_pool,
    timeout=3,
    limit_key=lambda payload: payload["tenant"],
    limit_per_key=PER_TENANT,
    **OPTIONS,
)
async def keyed(task: Task) -> None:
    """Run in one of the few places of a tenant."""
    temper, tenant = task.payload["temper"], task.payload["tenant"]
    with run_of(task.id, temper) as run, place_of(f"keyed-{tenant}", PER_TENANT, task.id, run):
        await _run_in_loop(temper, run)


@registry.processor("paced", pool=calm_pool, timeout=3, rate=PACE, **OPTIONS)
async def paced(task: Task) -> None:
    """Start at the pace of the type."""
    temper = task.payload["temper"]
    with run_of(task.id, temper) as run:
        note("paced", time.time())
        await _run_in_loop(temper, run)


@registry.processor("calm", pool=wild_pool, timeout=20, **OPTIONS)
async def calm(task: Task) -> None:
    """Take long enough for a node to lose its lease and for another node to run the task again."""
    temper = task.payload["temper"]
    with run_of(task.id, temper):
        await asyncio.sleep(random.uniform(4, 6) if temper == "lasting" else random.uniform(0, 0.02))


@registry.cron("* * * * * *", name="tick")
def tick(slot: object) -> Task:
    """Return a task for each slot, so that the scheduler enqueues too."""
    note("slot", slot)
    return Task("plain", {"temper": "fine"})
