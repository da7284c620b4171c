from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

import pytest

from goque_supervisor.actors.memory_reader import MemoryReader
from goque_supervisor.ipc.os_process import proportional_memory, usage_of

NO_PID = 2**22 + 1


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not report it")
def test_shared_memory_is_divided_among_processes() -> None:
    shared = mmap.mmap(-1, 64 * 2**20)
    shared.write(b"x" * len(shared))
    alone = proportional_memory(os.getpid())
    ready, over = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(over[1])
        shared.seek(0)
        shared.read(len(shared))
        os.write(ready[1], b".")
        os.read(over[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        together, usage = proportional_memory(os.getpid()), usage_of(os.getpid())
        assert alone is not None
        assert together is not None
        assert usage is not None
        assert together < alone - 24 * 2**20
        assert usage.memory > together
    finally:
        for descriptor in (*over, *ready):
            os.close(descriptor)
        os.waitpid(child, 0)
        shared.close()
    assert proportional_memory(NO_PID) is None


def test_processes_that_cannot_be_read_are_left_out_and_ended_ones_forgotten() -> None:
    sizes: dict[int, int | None] = {1: 10, 2: None, 3: 30}
    reader = MemoryReader(lambda pid: sizes[pid], patience=10.0)
    assert reader.read([1, 2, 3]) == {1: 10, 3: 30}
    sizes[3] = None
    assert reader.read([3]) in ({}, {3: 30})  # it may rest from the first reading
    assert reader.read([1, 2]) == {1: 10}


def test_a_process_that_hangs_holds_up_no_report_and_the_last_figures_stay() -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    sizes = {1: 10, 2: 20}

    def read(pid: int) -> int:
        if hangs.is_set():
            goes_on.wait(20)
        return sizes[pid]

    reader = MemoryReader(read, patience=10.0)
    assert reader.read([1]) == {1: 10}
    hangs.set()
    reader._patience = 0.01
    assert reader.read([1, 2]) == {1: 10}
    assert reader.read([1, 2]) == {1: 10}  # without a second thread
    assert sum(thread.name == "memory" for thread in threading.enumerate()) == 1
    goes_on.set()
    assert reader._thread is not None
    reader._thread.join(20)
    reader._patience = 10.0
    assert reader.read([1, 2]) == {1: 10, 2: 20}


def test_a_process_that_is_slow_to_read_is_read_less_often() -> None:
    wait = threading.Event()
    asked: list[int] = []

    def read(pid: int) -> int:
        asked.append(pid)
        if pid == 2:
            wait.wait(0.05)
        return pid

    reader = MemoryReader(read, patience=10.0)
    for _ in range(3):
        assert reader.read([2]) == {2: 2}
    assert asked == [2]


def test_a_system_without_a_free_thread_costs_only_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader = MemoryReader(lambda pid: pid, patience=10.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert reader.read([1]) == {}
    assert reader.read([1]) == {1: 1}
