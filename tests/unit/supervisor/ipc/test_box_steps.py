"""Steps and progress in the black box: the newest record of a running job counts, and nothing grows."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest

from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.blackbox_writer import MAX_OUTDATED, SPILL_OVER, BlackBoxWriter
from goque_supervisor.ipc.box_header import BYTES_A_JOB, FLIPS_MASK, HEADER, MIN_HALF, POSITION, USED_MASK
from goque_supervisor.ipc.box_records import MAX_TEXT, Contents, Running, RunProgress, StepNote, parse

TASK = "01a20ad1-3943-75c9-a997-5c814000a5bf"


class Box:
    """A box with its writer and a reader."""

    def __init__(self, path: Path) -> None:
        BlackBox.create(path)
        self.writer, self.reader = BlackBoxWriter(path), BlackBox(path)

    def begin(self, *seqs: int) -> None:
        for seq in seqs:
            self.writer.begin(seq, TASK, seq, 1.0, 31.0, kill_at=33.0)

    def running(self, seq: int = 1) -> Running:
        return self.reader.read().running[seq]

    @property
    def used(self) -> int:
        return self.reader._words[POSITION] & USED_MASK


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "w.box")


def test_a_job_has_neither_step_nor_progress_until_it_says_so(box: Box) -> None:
    box.begin(1)
    assert box.running() == Running(1, TASK, 1, 1.0, 31.0, "", None, math.inf)
    box.writer.note_step(1, "download")
    assert (box.running().step, box.running().progress) == ("download", None)
    box.writer.note_progress(1, 0.25, "page 1 of 4")
    assert (box.running().step, box.running().progress) == ("download", RunProgress(0.25, "page 1 of 4"))
    box.writer.note_step(1, "")
    assert (box.running().step, box.running().progress) == ("", RunProgress(0.25, "page 1 of 4"))


def test_each_job_has_its_own_steps(box: Box) -> None:
    box.begin(1, 2, 3)
    for seq in (1, 2):
        box.writer.note_step(seq, f"step of {seq}")
    box.writer.end(1, b"done")
    contents = box.reader.read()
    assert {seq: one.step for seq, one in contents.running.items()} == {2: "step of 2", 3: ""}
    assert contents.finished[1][1] == b"done"


def test_a_job_that_has_ended_notes_nothing(box: Box) -> None:
    box.begin(1)
    box.writer.end(1, b"done")
    used = box.used
    box.writer.note_step(1, "too late")
    box.writer.note_progress(2, 0.5, "never begun")
    box.writer.put_off(1, 90.0, kill_at=92.0)
    assert (box.used, box.reader.kill_at, box.writer.step_of(1)) == (used, 0.0, "")
    assert not box.reader.read().broken


def test_a_job_that_moves_puts_off_its_end(box: Box) -> None:
    box.begin(1, 2)
    box.writer.put_off(1, 5.0, kill_at=7.0)
    assert (box.running().stalls_at, box.running().due, box.running().has_stalled) == (5.0, 5.0, True)
    assert box.reader.kill_at == 7.0
    box.writer.put_off(1, 40.0, kill_at=33.0)
    assert (box.running().stalls_at, box.running().due, box.running().has_stalled) == (40.0, 31.0, False)
    assert box.reader.kill_at == 33.0
    assert box.running(2).due == 31.0


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ü" * MAX_TEXT, "ü" * MAX_TEXT),
        ("\U0001f600" * MAX_TEXT, "\U0001f600" * MAX_TEXT),
        ("x" * (MAX_TEXT + 1), "x" * (MAX_TEXT - 1) + "…"),
        ("a: b, c: signal 11", "a: b, c: signal 11"),
        ("two\nlines\u2028three", "two lines three"),
        ("\udcff\0", "  "),
    ],
)
def test_a_text_is_one_line_of_bounded_length(box: Box, text: str, read: str) -> None:
    box.begin(1)
    box.writer.note_step(1, text)
    box.writer.note_progress(1, 1.0, text)
    assert (box.running().step, box.running().progress) == (read, RunProgress(1.0, read))
    assert box.writer.step_of(1) == read


def test_a_hundred_thousand_reports_make_nothing_grow(box: Box) -> None:
    box.begin(1, 2)
    most = 0
    for number in range(100_000):
        box.writer.note_progress(1, number / 100_000, f"page {number}")
        most = max(most, box.used)
    assert box.running().progress == RunProgress(0.99999, "page 99999")
    assert set(box.reader.read().running) == {1, 2}
    assert most < 2 * MAX_OUTDATED
    assert box.reader.path.stat().st_size == HEADER + 2 * MIN_HALF
    assert sum(map(len, box.writer._needed[1])) < BYTES_A_JOB


def test_a_reader_sees_only_whole_reports_while_they_are_written(box: Box) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            box.begin(1)
            number = 0
            while not box.writer.revoked_through:
                number += 1
                box.writer.note_progress(1, float(number), f"page {number}")
        finally:
            os._exit(0)
    newest, reads = 0.0, 0
    while reads < 200 or newest < 20_000:
        contents = box.reader.read()
        reads += 1
        assert not contents.broken
        progress = contents.running[1].progress if contents.running else None
        if progress is not None:
            assert progress.note == f"page {progress.fraction:.0f}"
            assert progress.fraction >= newest
            newest = progress.fraction
    box.reader.revoke_through(1)  # enough
    os.waitpid(pid, 0)


def test_the_first_of_many_jobs_to_kill_is_known_whichever_moves(box: Box) -> None:
    box.begin(1, 2, 3)
    for seq, kill_at in ((1, 7.0), (2, 5.0), (3, 9.0), (2, 8.0), (3, 12.0), (1, 11.0), (2, 10.0), (1, 30.0)):
        box.writer.put_off(seq, kill_at - 2, kill_at=kill_at)
        assert box.reader.kill_at == min(box.writer._deadlines.values())
    assert box.reader.kill_at == 10.0


def test_outcomes_that_are_spilled_leave_the_steps_of_running_jobs(box: Box) -> None:
    box.begin(1)
    box.writer.note_step(1, "page-17")
    outcomes = {seq: bytes([seq]) * (SPILL_OVER - 1) for seq in range(2, 40)}
    for seq, outcome in outcomes.items():
        box.begin(seq)
        box.writer.note_step(seq, "of a job that ends")
        box.writer.end(seq, outcome)
    contents = box.reader.read()
    assert {seq: outcome for seq, (_running, outcome) in contents.finished.items()} == outcomes
    assert {seq: one.step for seq, one in contents.running.items()} == {1: "page-17"}


def test_more_long_names_than_the_box_holds_are_shortened(box: Box) -> None:
    seqs = range(1, MIN_HALF // BYTES_A_JOB + 1)
    box.begin(*seqs)
    for seq in seqs:
        box.writer.note_progress(seq, 0.5, f"note {seq}" + "\U0001f600" * MAX_TEXT)
        box.writer.note_step(seq, f"step {seq} " + "\U0001f600" * MAX_TEXT)
    contents = box.reader.read()
    assert not contents.broken
    assert set(contents.running) == set(seqs)
    for seq, one in contents.running.items():
        assert one.step.startswith(f"step {seq} ")
        assert one.progress is not None
        assert (one.progress.fraction, one.progress.note[: len(f"note {seq}")]) == (0.5, f"note {seq}")


def test_a_job_that_is_revoked_when_the_box_is_full_leaves_no_trace(box: Box) -> None:
    box.begin(1)
    while box.used + 73 + 12 <= MIN_HALF:
        box.begin(2)
        box.writer.void(2)
    box.begin(2)
    box.writer.void(2)
    assert set(box.reader.read().running) == {1}
    assert not box.reader.read().finished


def test_a_box_that_was_switched_over_for_years_goes_on(box: Box) -> None:
    box.writer._flips = FLIPS_MASK
    box.begin(1)
    for number in range(1000):
        box.writer.note_progress(1, 0.5, f"page {number}")
    assert box.writer._flips < 1000
    assert box.running().progress == RunProgress(0.5, "page 999")


@pytest.mark.parametrize("left", range(1, 30))
def test_a_record_that_is_cut_off_ends_the_reading_and_spares_what_came_before(box: Box, left: int) -> None:
    box.begin(1)
    box.writer.note_step(1, "page-17")
    note = StepNote()
    note.names = b"page-18"
    cut = note.pack(1)[:left]
    records = box.writer._all_needed() + cut
    contents = parse(records, lambda _seq: None)
    assert contents.broken
    assert {seq: one.step for seq, one in contents.running.items()} == {1: "page-17"}


@pytest.mark.parametrize(
    ("seq", "body"),
    [
        (2, StepNote().pack(2)[13:]),  # of a job that has not begun
        (1, b"short"),
        (1, b""),
    ],
)
def test_a_step_that_cannot_be_is_a_broken_record(box: Box, seq: int, body: bytes) -> None:
    box.begin(1)
    broken = struct.pack("=IBQ", len(body), 5, seq) + body
    contents = parse(box.writer._all_needed() + broken, lambda _seq: None)
    assert contents.broken.startswith("a record is broken: ")
    assert contents.running[1].step == ""
    assert isinstance(contents, Contents)


def test_a_name_that_ends_within_a_character_is_read_up_to_there(box: Box) -> None:
    box.begin(1)
    note = StepNote()
    note.names = "ab\U0001f600".encode()[:-1]
    contents = parse(box.writer._all_needed() + note.pack(1), lambda _seq: None)
    assert (contents.running[1].step, contents.broken) == ("ab", "")
