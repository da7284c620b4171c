"""The black box: what was running and what had ended, whatever became of the process that wrote it."""

from __future__ import annotations

import ctypes
import os
import signal
import uuid
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import SPILL_OVER, BlackBoxWriter
from goque_supervisor.ipc.box_header import HEADER, MIN_HALF
from goque_supervisor.ipc.box_records import Contents, can_record

TASK = "01a20ad1-3943-75c9-a997-5c814000a5bf"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "w.box"
    BlackBox.create(made)
    return made


def begin(
    box: BlackBoxWriter, seq: int, started: float = 1.0, timeout: float = 30.0, task: str = TASK
) -> None:
    box.begin(seq, task, seq + 100, started, started + timeout, kill_at=started + timeout + 2)


def finished(contents: Contents) -> dict[int, bytes]:
    return {seq: outcome for seq, (_running, outcome) in contents.finished.items()}


def test_a_new_box_is_empty_and_knows_no_deadline(path: Path) -> None:
    box = BlackBox(path)
    assert box.read() == Contents({}, {})
    assert (box.kill_at, box.running_seq, box.revoked_through) == (0.0, 0, 0)
    box.close()
    assert path.stat().st_size == HEADER + 2 * MIN_HALF
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_box_is_never_made_over_another(path: Path) -> None:
    with pytest.raises(FileExistsError):
        BlackBox.create(path)


@pytest.mark.parametrize("content", [b"", b"x" * 4096])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "other.box"
    other.write_bytes(content)
    with pytest.raises(ValueError, match=r"empty file|too short|is not a black box"):
        BlackBox(other)


def test_a_job_is_running_until_it_ends_and_finished_until_it_is_acknowledged(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    begin(writer, 5, started=7.0)
    (running,) = reader.read().running.values()
    assert (running.seq, running.task_id, running.claims) == (5, TASK, 105)
    assert (running.started, running.deadline) == (7.0, 37.0)
    assert reader.running_seq == 5
    writer.end(5, b"well")
    assert reader.read().running == {}
    assert reader.read().finished == {5: (running, b"well")}
    assert (reader.running_seq, reader.kill_at, writer.unacknowledged) == (0, 0.0, 1)
    writer.acknowledge([5])
    assert reader.read() == Contents({}, {})


def test_the_moment_to_kill_is_that_of_the_job_whose_time_is_up_first(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    for seq, timeout in ((1, 30.0), (2, 10.0), (3, 20.0)):
        begin(writer, seq, started=0.0, timeout=timeout)
    assert reader.kill_at == 12.0
    writer.end(2, b"")
    assert reader.kill_at == 22.0
    writer.end(3, b"")
    writer.void(1)
    assert reader.kill_at == 0.0


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("task", "claims"),
    [("ü" * 36, 1), ("x", 1), ("", 1), (TASK + "x", 1), ("\udcff" * 36, 1), (TASK, -1), (TASK, 2**64)],
)
def test_row_59_a_claim_that_no_record_can_hold_is_refused_and_leaves_no_trace(
    path: Path, task: str, claims: int
) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    assert not can_record(task, claims)
    with pytest.raises(ValueError, match="cannot record"):
        writer.begin(4, task, claims, 1.0, 31.0, kill_at=33.0)
    assert reader.read() == Contents({}, {})
    assert (reader.running_seq, reader.kill_at, writer.unacknowledged) == (0, 0.0, 0)


def test_a_job_that_was_taken_back_leaves_no_trace(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    reader.revoke_through(9)
    begin(writer, 8)
    assert writer.revoked_through == 9
    writer.void(8)
    assert reader.read() == Contents({}, {})
    assert writer.unacknowledged == 0


def test_what_was_taken_back_stays_so_when_less_is_taken_back_later(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    reader.revoke_through(9)
    reader.revoke_through(4)
    assert writer.revoked_through == 9


def test_an_interrupt_names_its_job_and_its_reason(path: Path) -> None:
    writer, root = BlackBoxWriter(path), BlackBox(path)
    assert writer.read_interrupt() == (0, "")
    root.leave_interrupt(1 << 40, "canceled")
    assert writer.read_interrupt() == (1 << 40, "canceled")


def test_compaction_keeps_what_is_needed_over_many_times_the_size_of_the_box(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    begin(writer, 1)
    for seq in range(2, 5000):
        begin(writer, seq)
        writer.end(seq, b"o" * 100)
        if seq > 50:
            writer.acknowledge([seq - 49])
    contents = reader.read()
    assert set(contents.running) == {1}
    assert set(contents.finished) >= set(range(4951, 5000)), "acknowledged ones go at the next compaction"
    assert len(contents.finished) < 1000
    assert set(finished(contents).values()) == {b"o" * 100}


def test_a_large_outcome_is_kept_beside_the_box_until_it_is_acknowledged(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    begin(writer, 1)
    writer.end(1, b"x" * (SPILL_OVER + 1))
    assert finished(reader.read()) == {1: b"x" * (SPILL_OVER + 1)}
    assert reader.spill_path(1).exists()
    writer.acknowledge([1])
    assert not reader.spill_path(1).exists()
    assert reader.read() == Contents({}, {})


def test_more_unacknowledged_outcomes_than_the_box_holds_are_spilled_and_still_read(path: Path) -> None:
    writer, reader = BlackBoxWriter(path), BlackBox(path)
    outcomes = {seq: bytes([seq]) * (SPILL_OVER - 1) for seq in range(1, 40)}
    for seq, outcome in outcomes.items():
        begin(writer, seq)
        writer.end(seq, outcome)
    assert finished(reader.read()) == outcomes
    writer.acknowledge(list(outcomes))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_was_written_outlives_any_death_of_its_writer(path: Path, number: signal.Signals) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            writer = BlackBoxWriter(path)
            begin(writer, 1)
            writer.end(1, b"done")
            begin(writer, 2)
            ctypes.string_at(0) if number == signal.SIGSEGV else os.kill(os.getpid(), number)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -number
    contents = BlackBox(path).read()
    assert set(contents.running) == {2}
    assert finished(contents) == {1: b"done"}


def test_a_reader_sees_only_whole_states_while_the_box_is_written(path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            writer, seq = BlackBoxWriter(path), 0
            while not writer.revoked_through:
                seq += 1
                begin(writer, seq, task=str(uuid.UUID(int=seq)))
                writer.end(seq, b"%d" % seq * 10)
                if seq > 5:
                    writer.acknowledge([seq - 5])
        finally:
            os._exit(0)
    reader = BlackBox(path)
    newest = reads = 0
    while reads < 200 or newest < 20_000:  # many times the size of the box
        contents = reader.read()
        reads += 1
        for seq, (running, outcome) in contents.finished.items():
            assert (running.task_id, outcome) == (str(uuid.UUID(int=seq)), b"%d" % seq * 10)
        assert len(contents.running) <= 1
        newest = max([newest, *contents.finished])
    reader.revoke_through(1)  # enough
    os.waitpid(pid, 0)
    last = max(reader.read().finished)
    assert set(reader.read().finished) >= set(range(last - 4, last + 1))


class BoxAgainstModel(RuleBasedStateMachine):
    """Any order of beginnings, ends, takings back and acknowledgements reads as two dictionaries would."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name, "w.box")
        BlackBox.create(path)
        self.writer, self.reader = BlackBoxWriter(path), BlackBox(path)
        self.running: list[int] = []
        self.steps: dict[int, str] = {}
        self.done: dict[int, bytes] = {}
        self.count = 0

    @rule()
    def begin(self) -> None:
        self.count += 1
        begin(self.writer, self.count)
        self.running.append(self.count)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), size=st.sampled_from([0, 10, 3000, SPILL_OVER, SPILL_OVER + 1]))
    def end(self, data: st.DataObject, size: int) -> None:
        seq = data.draw(st.sampled_from(self.running))
        self.running.remove(seq)
        self.done[seq] = b"%d" % (seq % 10) * size
        self.writer.end(seq, self.done[seq])

    @precondition(lambda self: self.running)
    @rule(data=st.data(), name=st.sampled_from(["", "page", "ü" * 200, "x" * 100]))
    def note_a_step(self, data: st.DataObject, name: str) -> None:
        seq = data.draw(st.sampled_from(self.running))
        self.steps[seq] = name
        self.writer.note_step(seq, name)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.running))
        self.running.remove(seq)
        self.writer.void(seq)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        seqs = data.draw(st.lists(st.sampled_from([*self.done, 10**6]), unique=True))
        for seq in seqs:
            self.done.pop(seq, None)
        self.writer.acknowledge(seqs)

    @invariant()
    def reads_as_the_model(self) -> None:
        contents = self.reader.read()
        assert sorted(contents.running) == sorted(self.running)
        for seq, running in contents.running.items():
            assert running.step == self.steps.get(seq, "")
        # an outcome that is acknowledged may still be read until the box is compacted: it is settled anyhow
        assert self.done.items() <= finished(contents).items()

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        self.directory.cleanup()


TestBoxAgainstModel = BoxAgainstModel.TestCase
TestBoxAgainstModel.settings = settings(max_examples=30, stateful_step_count=60, deadline=None)
