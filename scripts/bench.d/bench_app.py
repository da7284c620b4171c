"""The app that scripts/bench runs: handlers that do little work and record when they began.

Its settings are environment variables:

- BENCH_NOTES: the file to which handlers append their records.
- BENCH_WORKERS: the workers of `noop` and `cpu` (2), and of each further type.
- BENCH_BATCH: the maximum number of tasks in one claim (goque's default).
- BENCH_TYPES: the number of further types, which are called type-1, type-2, … (0).
- BENCH_SHARED: the number of types that share a pool with BENCH_WORKERS workers, called shared-1, shared-2, … (0). If
  there are any, so do `slow`, `bounded` and `rare`.
- BENCH_LIMITED: whether there are the types with limits, and `uncapped`, which is `capped` without its limit (0).
- BENCH_FLOWS: whether there are the types of flows, which share a pool (0).
- BENCH_STEPS: whether there is `stepping`, with BENCH_WORKERS workers (0).
- BENCH_FIRST: whether `noop` records when each process began its first task (0).
- BENCH_KEEP: the seconds for which done tasks of `noop` are kept (goque's default).
- BENCH_IMPORT_SECONDS: the seconds that importing this module takes (0).
"""

from __future__ import annotations

import os
import signal
import time

import goque

SLOW = 0.01
"""Seconds that a task of `slow` and `bounded` takes."""

time.sleep(float(os.environ.get("BENCH_IMPORT_SECONDS", "0")))
workers = int(os.environ.get("BENCH_WORKERS", "2"))
claims = {"fetch_max_tasks": int(os.environ["BENCH_BATCH"])} if "BENCH_BATCH" in os.environ else {}

registry = goque.Registry()
keep = {"cleaner_updated_at_time_ago": float(os.environ["BENCH_KEEP"])} if "BENCH_KEEP" in os.environ else {}
begun: list[float] = []


def note_first(_task: goque.Task) -> None:
    """Record when this process began its first task."""
    if not begun:
        begun.append(time.time())
        note("first", begun[0])


noop = note_first if os.environ.get("BENCH_FIRST") else goque.noop_task_processor
registry.add_processor("noop", noop, workers=workers, **claims, **keep)
for number in range(int(os.environ.get("BENCH_TYPES", "0"))):
    registry.add_processor(f"type-{number + 1}", goque.noop_task_processor, workers=workers)

if shared := int(os.environ.get("BENCH_SHARED", "0")):
    registry.pool("shared", workers=workers)
    for number in range(shared):
        registry.add_processor(f"shared-{number + 1}", goque.noop_task_processor, pool="shared")
    registry.add_processor("slow", lambda _task: time.sleep(SLOW), pool="shared")
    registry.add_processor("bounded", lambda _task: time.sleep(SLOW), pool="shared", max_running=workers - 1)
    registry.add_processor("rare", lambda task: note(task.payload, time.monotonic_ns()), pool="shared")

if os.environ.get("BENCH_LIMITED"):
    registry.add_processor("uncapped", lambda _task: time.sleep(SLOW), workers=workers)
    registry.add_processor("capped", lambda _task: time.sleep(SLOW), workers=workers, limit=workers)
    registry.add_processor("capped_twice", lambda _task: time.sleep(SLOW), workers=workers, limit=2 * workers)
    registry.add_processor(
        "keyed", goque.noop_task_processor, workers=workers, limit_per_key=2, limit_key=str, **claims
    )
    fast = goque.Rate(1_000_000, per=1)
    registry.add_processor("rated", goque.noop_task_processor, workers=workers, rate=fast, **claims)
    fast = goque.Rate(1_000_000, per=1, per_key=True)
    registry.add_processor(
        "rated_keys", goque.noop_task_processor, workers=workers, rate=fast, limit_key=str, **claims
    )


if os.environ.get("BENCH_FLOWS"):
    registry.pool("flows", workers=workers, min_workers=workers, **claims)
    registry.add_processor("flow_part", goque.noop_task_processor, pool="flows")
    registry.add_processor("flow_join", lambda _task: note("flow_join", time.time()), pool="flows")


def burn(seconds: float) -> None:
    """Compute in pure Python until this thread has used the CPU for this long.

    It reads the thread's clock and does not count loops. The duration of a loop varies by a tenth between processes and
    moments, because it depends on where the objects are in the caches.
    """
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for _ in range(100):
            pass


def note(*words: object) -> None:
    """Append a line to the file that scripts/bench reads, in one write, so that lines do not mix."""
    descriptor = os.open(os.environ["BENCH_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


@registry.processor("cpu", workers=workers)
def cpu(seconds: float) -> None:
    """Use the CPU, and nothing else."""
    burn(seconds)


@registry.processor("returning", workers=workers, store_result=True)
def returning(size: int) -> str:
    """Return a text that has this many bytes with its quotes."""
    return "x" * (size - 2)


@registry.processor("stamp", workers=1)
def stamp(sent: int) -> None:
    """Record when the task was sent and when its handler began."""
    began = time.monotonic_ns()
    note(sent, began)


def single(seconds: float) -> None:
    """Record the begin and the end, and the root of the tree."""
    note("begin", time.monotonic_ns(), os.getppid())
    time.sleep(seconds)
    note("end", time.monotonic_ns(), os.getppid())


def step(left: int) -> None:
    """Leave the next step behind."""
    if left:
        goque.follow_up("flow_step", left - 1)


def stepping(count: int) -> None:
    """Record steps that do nothing, and what each took."""
    task = goque.current_task()
    assert task is not None
    taken = []
    began = time.time()
    for number in range(count):
        since = time.perf_counter()
        task.step(f"step-{number}", nothing)
        taken.append((time.perf_counter() - since) * 1e3)
    taken.sort()
    note("stepping", began, time.time(), taken[count // 2], taken[count * 99 // 100], count)


def nothing() -> None:
    """Do nothing."""


if os.environ.get("BENCH_FLOWS"):
    registry.add_processor("flow_step", step, pool="flows")
if os.environ.get("BENCH_STEPS"):
    registry.add_processor("stepping", stepping, workers=workers, min_workers=workers, timeout=300)
if os.environ.get("BENCH_LIMITED"):
    registry.add_processor("single", single, workers=1, limit=1)


@registry.processor("fragile", workers=1, max_attempts=1)
def fragile(word: str) -> None:
    """Record the time, and crash if the payload is `die`."""
    note(word, time.monotonic_ns())
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
