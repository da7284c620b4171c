"""What the lease tells of its tree: processes of this machine, black boxes and counters of a directory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from goque.identifiers import new_task_id
from goque_supervisor.actors.node_report import MAX_RUNS, NodeReport
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import BlackBoxWriter
from goque_supervisor.ipc.os_process import usage_of
from goque_supervisor.metrics.counters import Counters

NO_PID = 2**22 + 1  # above what Linux gives


def state(*processes: dict[str, Any], age: float = 600) -> dict[str, Any]:
    group = {
        "types": ["mail"],
        "slots": 2,
        "workers": 2,
        "ready": 1,
        "fetcher": True,
        "held": False,
        "restarts": {"crash": 3},
    }
    return {
        "types": {"mail": group},
        "pools": {"mail": group},
        "child_restarts": {"fetcher": 1},
        "lease": True,
        "stopping": False,
        "quiet": True,
        "started_at": time.monotonic() - age,
        "processes": list(processes),
    }


def worker(box: Path, *, pid: int = 0) -> dict[str, Any]:
    return {
        "name": "worker[mail:0]",
        "pid": pid or os.getpid(),
        "started_at": time.monotonic() - 60,
        "pool": "mail",
        "state": "ready",
        "box": str(box),
    }


def test_a_worker_is_told_with_what_it_runs_and_takes(tmp_path: Path) -> None:
    BlackBox.create(tmp_path / "a.box")
    box = BlackBoxWriter(tmp_path / "a.box")
    task_id = new_task_id()
    box.begin(1, task_id, 1, time.monotonic() - 5, 0.0, kill_at=0.0)
    box.note_progress(1, 0.123456, f"page 7\n{'x' * 200}")
    report = NodeReport(tmp_path, "shop:registry", 30.0)
    report.collect(state(worker(tmp_path / "a.box")))
    info = report.collect(state(worker(tmp_path / "a.box")))
    box.close()
    assert (info.app, info.quiet, info.restarts) == ("shop:registry", True, {"fetcher": 1})
    assert 600 <= info.seconds < 700
    (kind,), (pool,) = info.types, info.pools
    assert (kind.type, kind.slots, kind.living, kind.ready) == ("mail", 2, 2, 1)
    assert (pool.name, pool.types, pool.slots, pool.restarts) == ("mail", ("mail",), 2, {"crash": 3})
    (told,) = pool.workers
    assert [run.task_id for run in told.runs] == [task_id]
    assert 5 <= told.runs[0].seconds < 65
    assert (told.runs[0].progress, told.runs[0].note) == (0.123, f"page 7 {'x' * 53}")
    assert told.memory is not None
    assert told.memory > 2**20
    assert told.cpu is not None


def test_of_many_runs_the_longest_are_told_and_the_others_counted(tmp_path: Path) -> None:
    BlackBox.create(tmp_path / "a.box")
    box = BlackBoxWriter(tmp_path / "a.box")
    for number in range(MAX_RUNS + 5):
        box.begin(number + 1, new_task_id(), 1, time.monotonic() - number, 0.0, kill_at=0.0)
    ((told,),) = (
        pool.workers
        for pool in NodeReport(tmp_path, "", 30.0).collect(state(worker(tmp_path / "a.box"))).pools
    )
    box.close()
    assert (len(told.runs), told.more) == (MAX_RUNS, 5)
    assert {(run.progress, run.note) for run in told.runs} == {(None, "")}
    assert told.runs[0].seconds >= told.runs[-1].seconds >= 5


def test_a_process_that_has_just_ended_is_told_without_figures(tmp_path: Path) -> None:
    info = NodeReport(tmp_path, "", 30.0).collect(
        state(worker(tmp_path / "gone.box", pid=NO_PID), {"name": "root", "pid": NO_PID, "started_at": 0.0})
    )
    ((told,),) = (pool.workers for pool in info.pools)
    assert (told.runs, told.memory, told.cpu) == ((), None, None)
    assert [(one.name, one.memory) for one in info.processes] == [("root", None)]


def test_in_the_first_minute_of_a_tree_all_runs_are_recent(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "mail.fetcher.counters", "mail")
    report = NodeReport(tmp_path, "", 30.0)
    for total in (5, 10):
        counters.count("processed:done", 5)
        info = report.collect(state(age=20))
        assert (info.types[0].processed, info.types[0].recent) == ({"done": total}, {"done": total})
        assert 20 <= info.recent_seconds < 60


def test_a_lease_that_is_new_in_an_old_tree_knows_of_no_recent_runs_yet(tmp_path: Path) -> None:
    counters = Counters(tmp_path / "mail.fetcher.counters", "mail")
    counters.count("processed:done", 5)
    report = NodeReport(tmp_path, "", 30.0)
    first = report.collect(state()).types[0]
    counters.count("processed:done", 2)
    counters.count("processed:error")
    counters.observe("processing", 0.25)
    info = report.collect(state())
    assert (first.processed, first.recent) == ({"done": 5}, {})
    assert (info.types[0].processed, info.types[0].recent) == (
        {"done": 7, "error": 1},
        {"done": 2, "error": 1},
    )
    assert info.types[0].recent_run_seconds == 0.25
    assert info.recent_seconds < 60


def test_the_kernel_tells_what_a_process_takes() -> None:
    usage = usage_of(os.getpid())
    assert usage is not None
    assert usage.memory > 2**20
    assert usage.cpu_seconds > 0
    assert usage_of(NO_PID) is None


def test_the_functions_of_a_type_are_told_with_those_that_run_most_first(tmp_path: Path) -> None:
    report = NodeReport(tmp_path, "shop:registry", 30.0)
    Counters(tmp_path / "mail.fetcher.counters", "mail")
    Counters(tmp_path / "a.function", "mail", "shop.tasks.a").count("processed:done", 1)
    busy = Counters(tmp_path / "b.function", "mail", "shop.tasks.b")
    Counters(tmp_path / "c.function", "sms", "shop.tasks.c").count("processed:done", 1)
    report.collect(state(age=600))
    busy.count("processed:error", 3)
    busy.observe("processing", 0.25)
    (kind,) = report.collect(state(age=600)).types
    assert [(one.name, one.processed, one.recent) for one in kind.functions] == [
        ("shop.tasks.b", {"error": 3}, {"error": 3}),
        ("shop.tasks.a", {"done": 1}, {}),
    ]
    assert kind.functions[0].recent_run_seconds == 0.25
