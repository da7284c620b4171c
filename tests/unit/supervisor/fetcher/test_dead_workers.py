"""What the end of a worker means for each task that it had."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goque import retry
from goque.options import ProcessorOptions
from goque.outcome import Outcome, OutcomeKind
from goque.task_rules.crash_evidence import CrashEvidence
from goque_supervisor.fetcher.dead_workers import (
    KILLED_AT_SHUTDOWN,
    DeadWorkers,
    handlers_part,
    outcome_of_death,
    read_box,
)
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import BlackBoxWriter
from goque_supervisor.ipc.box_records import Contents, Running
from goque_supervisor.ipc.control import CallbackWanted, CrashSettled, WorkerExited
from goque_supervisor.ipc.run_directory import stack_path, stderr_path
from unit.rows import row
from unit.supervisor.fetcher.one_worker import types_with

OPTIONS = ProcessorOptions(timeout=30.0, timeout_grace=2.0, stall_timeout=10.0)
NOW = 1000.0


def running(seq: int = 1, *, started: float = NOW - 5, **noted: Any) -> Running:
    return Running(seq, f"task-{seq}", 1, started, started + 30, **noted)


def exited(**values: Any) -> WorkerExited:
    return WorkerExited(7, 4711, "nowhere/w.box", **{"exit_code": None, "signal": None, **values})


@pytest.mark.parametrize(
    ("notice", "job", "kind", "text"),
    [
        (exited(signal=11), running(), OutcomeKind.CRASHED, "worker crashed: signal 11 (SIGSEGV)"),
        (exited(signal=9), running(), OutcomeKind.CRASHED, "worker crashed: signal 9 (SIGKILL)"),
        (exited(signal=40), running(), OutcomeKind.CRASHED, "worker crashed: signal 40 (real-time signal)"),
        (exited(exit_code=0), running(), OutcomeKind.CRASHED, "worker crashed: exit code 0"),
        (exited(exit_code=3), running(), OutcomeKind.CRASHED, "worker crashed: exit code 3"),
        (
            exited(signal=9, killed_for="timeout"),
            running(started=NOW - 32),
            OutcomeKind.TIMED_OUT,
            "task processing timeout: 30s",
        ),
        (exited(signal=9, killed_for="timeout"), running(started=NOW - 31), OutcomeKind.INTERRUPTED, ""),
        (
            exited(signal=11),
            running(step="page-17"),
            OutcomeKind.CRASHED,
            "worker crashed in step page-17: signal 11 (SIGSEGV)",
        ),
        (
            exited(exit_code=3),
            running(step="a, b"),
            OutcomeKind.CRASHED,
            "worker crashed in step a, b: exit code 3",
        ),
        (
            exited(signal=9, killed_for="timeout"),
            running(started=NOW - 32, step="page-17", stalls_at=NOW - 1),
            OutcomeKind.TIMED_OUT,
            "task processing timeout: 30s (in step page-17)",
        ),
        (
            exited(signal=9, killed_for="timeout"),
            running(started=NOW - 12, step="page-17", stalls_at=NOW - 2),
            OutcomeKind.TIMED_OUT,
            "no progress for 10s (in step page-17)",
        ),
        (
            exited(signal=9, killed_for="timeout"),
            running(started=NOW - 12, stalls_at=NOW - 2),
            OutcomeKind.TIMED_OUT,
            "no progress for 10s",
        ),
        (
            exited(signal=9, killed_for="timeout"),
            running(started=NOW - 12, step="page-17", stalls_at=NOW + 1),  # it moved when its time was up
            OutcomeKind.INTERRUPTED,
            "",
        ),
        (
            exited(signal=9, killed_for="canceled", killed_seq=1),
            running(1),
            OutcomeKind.CANCELED,
            "the task was canceled while it ran",
        ),
        (exited(signal=9, killed_for="canceled", killed_seq=2), running(1), OutcomeKind.INTERRUPTED, ""),
        (exited(signal=9, killed_for="shutdown"), running(), OutcomeKind.INTERRUPTED, KILLED_AT_SHUTDOWN),
        (exited(signal=9, killed_for="lease"), running(), OutcomeKind.INTERRUPTED, ""),
        (exited(signal=9, killed_for="unresponsive"), running(), OutcomeKind.INTERRUPTED, ""),
    ],
)
def test_the_cause_of_a_death_decides_who_is_charged(
    notice: WorkerExited, job: Running, kind: OutcomeKind, text: str
) -> None:
    evidence = CrashEvidence(notice.exit_code, notice.signal)
    outcome = outcome_of_death(job, notice, evidence, OPTIONS, NOW)
    assert (outcome.kind, outcome.error, outcome.pid) == (kind, text, 4711)
    assert outcome.duration == NOW - job.started


class DeadWorkersSetup:
    """`DeadWorkers`, with a record of what it sent to the root."""

    def __init__(
        self,
        options: ProcessorOptions,
        box: Path,
        *,
        may_wait: Callable[[ClaimedTask], bool] = lambda _task: True,
    ):
        self.told: list[Any] = []
        types = types_with(options)
        self.in_flight = InFlight(may_wait, types.is_async)
        self.dead_workers = DeadWorkers(self.in_flight, types, self.told.append)
        self.box = box

    def hold(self, *seqs: int) -> dict[int, ClaimedTask]:
        self.in_flight.take_over(row(id=f"task-{seq}", status="pending", claims=1) for seq in seqs)
        return dict(zip(seqs, self.in_flight.by_id.values(), strict=True))

    def notice(self, **values: Any) -> WorkerExited:
        return WorkerExited(**{**exited(**values).fields(), "box": str(self.box)})

    def outcomes(self) -> dict[str, OutcomeKind]:
        return {task.row.id: task.outcome.kind for task in self.in_flight.ended if task.outcome}


def contents(ran: list[int], ended: list[int]) -> Contents:
    done = messages.encode(Outcome(OutcomeKind.DONE))
    return Contents({seq: running(seq) for seq in ran}, {seq: (running(seq), done) for seq in ended})


@pytest.fixture
def setup(tmp_path: Path) -> DeadWorkersSetup:
    return DeadWorkersSetup(OPTIONS, tmp_path / "w.box")


def test_what_ended_counts_what_ran_is_charged_and_the_rest_runs_elsewhere(setup: DeadWorkersSetup) -> None:
    jobs = setup.hold(1, 2, 3, 4)
    setup.dead_workers.settle_dead_worker(setup.notice(signal=11), jobs, contents([2], [1]))
    assert setup.outcomes() == {"task-1": OutcomeKind.DONE, "task-2": OutcomeKind.CRASHED}
    assert [task.row.id for task in setup.in_flight.waiting(is_async=False)] == ["task-3", "task-4"]
    assert setup.told == []
    for task in list(setup.in_flight.ended):
        setup.dead_workers.committed([task])
    assert setup.told == [CrashSettled(7)]


def test_what_has_not_begun_goes_back_to_the_table_when_nothing_may_wait_here(tmp_path: Path) -> None:
    setup = DeadWorkersSetup(OPTIONS, tmp_path / "w.box", may_wait=lambda _task: False)
    setup.dead_workers.settle_dead_worker(setup.notice(signal=11), setup.hold(1), contents([], []))
    assert setup.outcomes() == {"task-1": OutcomeKind.UNSTARTED}


def test_a_worker_that_had_nothing_is_buried_at_once(setup: DeadWorkersSetup) -> None:
    setup.dead_workers.settle_dead_worker(setup.notice(signal=9), {}, contents([], []))
    assert setup.told == [CrashSettled(7)]
    assert not setup.dead_workers.is_pending


def test_a_box_stays_until_results_that_were_heard_before_the_death_are_committed(
    setup: DeadWorkersSetup,
) -> None:
    (task,) = setup.hold(1).values()
    setup.in_flight.end(task, Outcome(OutcomeKind.DONE))
    setup.dead_workers.settle_dead_worker(setup.notice(signal=9), {}, contents([], [1]), [task])
    assert setup.told == []
    assert setup.dead_workers.is_pending
    setup.dead_workers.committed([task])
    assert setup.told == [CrashSettled(7)]


@pytest.mark.parametrize(
    ("options", "notice", "asks"),
    [
        (OPTIONS, {"signal": 11}, False),
        (ProcessorOptions(has_crash_handler=True), {"signal": 11}, True),
        (ProcessorOptions(strategy=None), {"signal": 11}, True),
        (ProcessorOptions(strategy=None, timeout=1), {"signal": 9, "killed_for": "timeout"}, True),
        (ProcessorOptions(has_crash_handler=True, timeout=1), {"signal": 9, "killed_for": "timeout"}, False),
        (ProcessorOptions(has_crash_handler=True), {"signal": 9, "killed_for": "shutdown"}, False),
        (ProcessorOptions(strategy=retry.static(1)), {"signal": 9}, False),
    ],
)
def test_functions_of_the_users_are_asked_where_they_have_a_say(
    tmp_path: Path, options: ProcessorOptions, notice: dict[str, Any], asks: bool
) -> None:
    setup = DeadWorkersSetup(options, tmp_path / "w.box")
    setup.dead_workers.settle_dead_worker(
        setup.notice(**notice), setup.hold(1), Contents({1: running(1, started=0)}, {})
    )
    calls = [message for message in setup.told if isinstance(message, CallbackWanted)]
    assert bool(calls) == asks
    assert bool(setup.in_flight.ended) != asks
    for call in calls:
        setup.dead_workers.callback_done(call.call, 42.0)
        setup.dead_workers.callback_done(call.call, 43.0)
        setup.dead_workers.callback_done(99, 44.0)
        assert [task.outcome.delay for task in setup.in_flight.ended if task.outcome] == [42.0]


def test_a_crash_handler_hears_of_a_worker_that_died_idle_by_itself_only(tmp_path: Path) -> None:
    for values, hears in (
        ({"signal": 9}, True),
        ({"exit_code": 0}, False),
        ({"signal": 9, "killed_for": "reload"}, False),
    ):
        setup = DeadWorkersSetup(ProcessorOptions(has_crash_handler=True), tmp_path / "w.box")
        setup.dead_workers.settle_dead_worker(setup.notice(**values), {}, contents([], []))
        assert [type(message) for message in setup.told] == ([CallbackWanted] if hears else []) + [
            CrashSettled
        ]


def test_the_last_stack_and_the_last_lines_of_stderr_become_evidence(setup: DeadWorkersSetup) -> None:
    stack_path(setup.box).write_text("Fatal Python error: Segmentation fault\n", "utf-8")
    stderr_path(setup.box).write_bytes(b"x" * 100_000 + b"\xff last words\n")
    setup.dead_workers.settle_dead_worker(
        setup.notice(signal=11, max_rss=5, oom="maybe"), setup.hold(1), contents([1], [])
    )
    (task,) = setup.in_flight.ended
    crash = task.outcome and task.outcome.crash
    assert crash
    assert (crash.signal, crash.max_rss, crash.oom) == (11, 5, "maybe")
    assert crash.stack == "Fatal Python error: Segmentation fault"
    assert crash.stderr is not None
    assert crash.stderr.endswith("last words")
    assert len(crash.stderr) <= 4096


@pytest.mark.parametrize(
    ("since", "shown"), [(0, "before\nlast words"), (7, "last words"), (18, None), (99, "before\nlast words")]
)
def test_of_stderr_only_what_was_written_since_the_tasks_began_is_evidence(
    setup: DeadWorkersSetup, since: int, shown: str | None
) -> None:
    stderr_path(setup.box).write_bytes(b"before\nlast words\n")
    found = replace(contents([1], []), stderr_from=since)
    setup.dead_workers.settle_dead_worker(setup.notice(signal=11), setup.hold(1), found)
    (task,) = setup.in_flight.ended
    crash = task.outcome and task.outcome.crash
    assert crash
    assert crash.stderr == shown


def test_the_box_tells_where_the_stderr_of_the_running_tasks_begins(tmp_path: Path) -> None:
    BlackBox.create(tmp_path / "w.box")
    writer = BlackBoxWriter(tmp_path / "w.box")
    for seq, size in ((1, 10), (2, 20)):  # the second begins while the first runs
        writer.note_stderr(size)
        writer.begin(seq, "01a20ad1-3943-75c9-a997-5c814000a5bf", 1, 0.0, 1.0, kill_at=2.0)
    assert read_box(str(tmp_path / "w.box")).stderr_from == 10
    writer.end(1, b"")
    writer.end(2, b"")
    writer.note_stderr(30)
    assert read_box(str(tmp_path / "w.box")).stderr_from == 30


def test_a_box_that_cannot_be_read_counts_as_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.box").write_bytes(b"nonsense" * 100)
    for name in ("missing.box", "broken.box"):
        assert read_box(str(tmp_path / name)) == Contents({}, {})
    assert caplog.text.count("cannot read the black box") == 2
    BlackBox.create(tmp_path / "good.box")
    writer = BlackBoxWriter(tmp_path / "good.box")
    writer.begin(1, "01a20ad1-3943-75c9-a997-5c814000a5bf", 1, 0.0, 1.0, kill_at=2.0)
    assert set(read_box(str(tmp_path / "good.box")).running) == {1}


def test_a_box_for_which_there_is_no_descriptor_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    BlackBox.create(tmp_path / "good.box")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            read_box(str(tmp_path / "good.box"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_of_a_crashed_stack_the_handlers_part_is_kept():
    stack = (
        "Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n"
        '  File "ctypes/__init__.py", line 519 in string_at\n'
        '  File "app.py", line 29 in resize\n'
        '  File "goque/execution/run_handler.py", line 78 in handle\n'
        '  File "goque_supervisor/worker/sync_worker.py", line 80 in _call_handler\n'
        '  File "<frozen runpy>", line 198 in _run_module_as_main\n'
        "\nExtension modules: msgspec._core (total: 1)"
    )
    assert handlers_part(stack) == (
        "Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n"
        '  File "ctypes/__init__.py", line 519 in string_at\n'
        '  File "app.py", line 29 in resize\n'
        "  and 3 frames of goque, which called the handler\n"
        "\nExtension modules: msgspec._core (total: 1)"
    )


def test_a_stack_that_is_not_there_stays_so():
    assert handlers_part(None) is None
