"""Rows of goque_step that somebody else wrote: they are answered somehow, and stop nobody."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from backends import add, claim, done, row_of
from step_questions import KNOWN, ask, opening, put_off, read, record, sleep, wait

from goque.steps.question import Progress, State
from goque.storage.sql.placeholders import percent_placeholders
from goque.storage.sql.recorded_steps import answers as step_answers
from goque.storage.sql.recorded_steps import decisions
from goque.task_row import TaskStatus

INSERT = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, duration, until, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :duration, :until, :made_at)"""

KINDS = ("step", "sleep", "wait", "signal", "progress", "", "banana", "Step")
NAMES = ("", "x", "nap", "a\nb", "\u202eevil", "🦑" * 50, "%s :now", "y" * 200)
VALUES = (None, "", "{", "nope", '"expired', "NaN", "[" * 500, '{"fraction":"x"}', "\x01\x1b[31m")
INSTANTS = {
    "sqlite": (None, "", "soon", 7, 1e300, b"\xff", "9999-12-31T23:59:59Z", "2026-11-23 21:02:33"),
    "postgresql": (None, "infinity", "-infinity", "0001-01-01 BC", "9999-12-31", "2026-11-23"),
    "mysql": (None, "2038-01-18 03:14:07", "1970-01-02 00:00:01", "2026-11-23 21:02:33"),
}
NUMBERS = {
    "sqlite": (0, -1, 2**62, "x", 1.5, b"\xff"),
    "postgresql": (0, -1, 2**31 - 1, -(2**31)),
    "mysql": (0, -1, 2**31 - 1, -(2**31)),
}
SQLITE_NAMES = (b"\xff", b"\x80x", 7, 1.5, b"blob", "a\0b")
SQLITE_VALUES = (b"\xff", 7, 1e300, b"{}", "a\0b")


def rows_of(name):
    """Return hostile rows without their task, each value at least once."""
    is_sqlite = name == "sqlite"
    names = (*NAMES, *(SQLITE_NAMES if is_sqlite else ()))
    values = itertools.cycle((*VALUES, *(SQLITE_VALUES if is_sqlite else ())))
    instants, numbers = itertools.cycle(INSTANTS[name]), itertools.cycle(NUMBERS[name])
    for kind, text in itertools.product(KINDS, names):
        yield {
            "kind": kind,
            "name": text,
            "value": next(values),
            "claims": next(numbers),
            "duration": None if not is_sqlite else next(numbers),
            "until": next(instants),
            "made_at": next(instant for instant in instants if instant is not None),
        }


@pytest.fixture
def run(storage, backend):
    """Return a task as a fetcher has claimed it, of which others have written steps."""
    task = add(storage)
    [row] = claim(storage)
    rows = [{"task_id": task.id, **hostile} for hostile in rows_of(backend.name)]
    with (
        contextlib.closing(backend.connect()) as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        cursor.executemany(INSERT if backend.name == "sqlite" else percent_placeholders(INSERT), rows)
        connection.commit()
    backend.execute("UPDATE goque_task SET flags = 16")
    return row


def test_reading_comes_to_an_end(storage, run, monkeypatch):
    for rows in (1000, 3, 1):
        monkeypatch.setattr(decisions, "MAX_PAGE_ROWS", rows)
        monkeypatch.setattr(step_answers, "MAX_PAGE_ROWS", rows)
        names, after = [], ""
        for _ in range(50):
            answer = ask(storage, run, read(after))
            assert answer.state is State.KNOWN
            names += [name for name, _ in answer.steps]
            assert all(isinstance(value, bytes) for _, value in answer.steps)
            if answer.is_all:
                break
            after = answer.steps[-1][0]
        assert answer.is_all
        assert rows == 1 or set(NAMES) - {""} <= set(names)


def test_every_question_is_answered(storage, run):
    kinds = (lambda name: sleep(name, 5), lambda name: wait(name, 5), wait, record)
    questions = [make(name) for make in kinds for name in NAMES]
    for _ in range(2):
        answers = ask(storage, run, *questions, opening())
        assert {answer.state for answer in answers} <= {State.KNOWN, State.OPEN, State.EXPIRED}
        assert all(answer.seconds is None or answer.seconds > 0 for answer in answers)
    storage.write_progress([(run.token, Progress(0.5))])


def test_other_tasks_of_the_batch_are_answered_as_ever(storage, run):
    add(storage)
    [healthy] = claim(storage)
    asked = [(run.token, read()), (healthy.token, record("get", 1)), (run.token, wait("x", 5))]
    assert storage.answer_steps(asked)[1] == KNOWN


def test_people_see_the_rows_and_signals_are_kept(storage, run):
    rows = storage.steps_of(run.id)
    assert len(rows) > 50
    assert {row.kind for row in rows} == set(KINDS)
    assert storage.signal_task(run.id, "new", b"1")
    assert not storage.signal_task(run.id, "x", b"1")
    assert storage.settle_if_held([put_off(run, 60, waits_for="x")]) == {run.token}
    assert row_of(storage, run).next_attempt_at <= storage.dialect.clock()


@pytest.mark.parametrize("way", ["reset", "clean", "delete"])
def test_the_rows_go_as_others_do(storage, run, clock, backend, way):
    storage.settle_if_held([done(run)])
    if way == "reset":
        assert storage.reset_unless_claimed(run.id)
    elif way == "clean":
        clock.advance(60)
        assert storage.delete_finished("mail", [TaskStatus.DONE], 30.0) == 1
    else:
        assert storage.delete_if_finished([run.id]) == {run.id}
    assert backend.execute("SELECT count(*) FROM goque_step")[0][0] == 0
