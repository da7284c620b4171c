"""Recorded steps, sleeps and waits on every backend: each question asked twice, by runs that hold and that do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from backends import START, add, claim, done, row_of, stale
from step_questions import (
    EXPIRED,
    KNOWN,
    LOST,
    ask,
    known,
    left,
    opening,
    put_off,
    read,
    record,
    recorded,
    sleep,
    wait,
)

from goque.steps.question import Ask, Progress, Question, State
from goque.storage.sql.recorded_steps import answers as step_answers
from goque.storage.sql.recorded_steps import decisions
from goque.task_row import HAS_STEPS, TaskStatus

TEXTS = {
    "plain": "text",
    "quotes": '"\\" \\\\ \'',
    "nul in json": "a\0b",
    "emoji": "🎉é\u2028",
    "surrogate": "\\ud800",
    "percent": "100% :now %(x)s",
    "long": "x" * 300_000,
}


@pytest.fixture
def run(storage):
    """Return a task as a fetcher has claimed it."""
    add(storage)
    [row] = claim(storage)
    return row


def again(storage, row, *, delay=0.0):
    """End a run and begin the next one."""
    assert storage.settle_if_held([put_off(row, delay)]) == {row.token}
    [claimed] = claim(storage)
    assert claimed.id == row.id
    return claimed


def flags(storage, row):
    return row_of(storage, row).flags


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_value_is_the_same_json_in_the_next_run(storage, run, name):
    value = {"text": TEXTS[name], "n": [1, 2.5, None]}
    assert ask(storage, run, record("get", value)) == KNOWN
    assert recorded(storage, again(storage, run)) == {"get": value}


def test_the_text_of_a_value_stays_as_it_is(storage, run):
    text = b'{ "b":1.50,  "a" : "\\u00e9", "a": 12345678901234567890123 }'
    assert ask(storage, run, Question(Ask.RECORD, "get", text)) == KNOWN
    assert ask(storage, run, read()).steps == (("get", text),)


def test_a_step_that_is_recorded_twice_keeps_its_first_value(storage, run):
    assert ask(storage, run, record("get", 1)) == KNOWN
    assert ask(storage, run, record("get", 2), record("get", 3), record("put", 4)) == [KNOWN] * 3
    assert recorded(storage, run) == {"get": 1, "put": 4}


def test_a_row_says_who_recorded_it_and_when(storage, run, clock):
    clock.advance(2)
    ask(storage, run, record("get", [1], duration=0.25))
    [row] = storage.steps_of(run.id)
    assert (row.kind, row.name, row.value, row.claims, row.duration, row.until) == (
        "step",
        "get",
        "[1]",
        run.claims,
        0.25,
        None,
    )
    assert row.made_at == START + timedelta(seconds=2)


def test_names_differ_by_case_and_by_spaces_at_the_end(storage, run):
    names = ["a", "A", "a ", "a  ", "á", "ß", "ss", "x" * 200, "🎉" * 200]
    for name in names:
        assert ask(storage, run, record(name, name)) == KNOWN
    assert recorded(storage, run) == {name: name for name in names}
    assert [name for name, _ in ask(storage, run, read()).steps] == sorted(names)


def test_a_run_that_holds_its_claim_no_more_changes_nothing(storage, run):
    ask(storage, run, record("get", 1))
    new = again(storage, run)
    questions = [record("put", 2), sleep("nap", 5), wait("go"), read(), opening()]
    assert ask(storage, run, *questions) == [LOST] * 5
    assert storage.answer_steps([(stale(new), question) for question in questions]) == [LOST] * 5
    assert recorded(storage, new) == {"get": 1}
    assert [row.kind for row in storage.steps_of(run.id)] == ["step"]


@pytest.mark.parametrize("end", ["cancel", "settle", "release"])
def test_a_run_whose_task_was_canceled_or_ended_is_lost(storage, run, end):
    if end == "cancel":
        storage.cancel_unless_finished(run.id)
    else:
        storage.settle_if_held([done(run) if end == "settle" else put_off(run, 0)])
    assert ask(storage, run, record("get", 1)) == LOST
    assert storage.steps_of(run.id) == []
    assert not flags(storage, run)


def test_claims_without_an_owner_are_answered_too(storage, run, backend):
    backend.execute("UPDATE goque_task SET claimed_by = NULL")
    assert ask(storage, run, record("get", 1)) == LOST
    nobodys = run.token._replace(owner="")
    assert storage.answer_steps([(nobodys, record("get", 1))]) == [KNOWN]


def test_many_runs_of_several_owners_are_answered_in_their_order(storage):
    runs = []
    for owner in ("node-2", "node-1"):
        for _ in range(20):
            add(storage)
        runs += claim(storage, owner=owner, limit=20)
    lost = runs[3]
    storage.cancel_unless_finished(lost.id)
    asked = [(row.token, record("get", number)) for number, row in enumerate(runs)]
    asked += [(row.token, wait(f"go-{number}", 5)) for number, row in enumerate(runs)]
    answers = storage.answer_steps(asked)
    assert answers[:40] == [LOST if row is lost else KNOWN for row in runs]
    assert answers[40:] == [LOST if row is lost else left(5) for row in runs]
    for number, row in enumerate(runs):
        assert row is lost or recorded(storage, row) == {"get": number}


def test_no_question_is_no_transaction(storage):
    assert storage.answer_steps([]) == []
    storage.write_progress([])


def test_only_a_task_with_rows_is_noted_as_one(storage, run):
    ask(storage, run, read())
    assert not flags(storage, run)
    ask(storage, run, record("get", 1))
    assert flags(storage, run) == HAS_STEPS
    assert again(storage, run).flags == HAS_STEPS


@pytest.mark.parametrize("question", [opening(), sleep("nap", 1), wait("go"), record("get")])
def test_whoever_may_leave_a_row_is_noted(storage, run, backend, question):
    backend.execute("UPDATE goque_task SET flags = 2")
    ask(storage, run, question)
    assert flags(storage, run) == HAS_STEPS | 2


def test_a_value_that_no_database_stores_is_refused_alone(storage, run, monkeypatch):
    monkeypatch.setattr(type(storage.dialect), "largest_batch", 1000, raising=False)
    monkeypatch.setattr(storage.dialect, "largest_batch", 1000, raising=False)
    refused = [
        Question(Ask.RECORD, "nul", b'"a\0b"'),
        Question(Ask.RECORD, "bytes", b'"\xff"'),
        Question(Ask.RECORD, "long", b'"' + b"x" * 1000 + b'"'),
        Question(Ask.RECORD, "x" * 201, b"1"),
        Question(Ask.RECORD, "a\0b", b"1"),
        Question(Ask.WAIT, "\ud800"),
    ]
    answers = ask(storage, run, *refused, record("good", 1))
    assert [answer.state for answer in answers] == [State.REFUSED] * 6 + [State.KNOWN]
    assert all(answer.text for answer in answers[:6])
    assert recorded(storage, run) == {"good": 1}


def test_many_large_values_are_written_in_several_statements(storage, run, monkeypatch):
    monkeypatch.setattr(step_answers, "MOST_RECORDS", 7)
    questions = [record(f"part-{number:03}", "x" * 100) for number in range(50)]
    assert ask(storage, run, *questions) == [KNOWN] * 50
    assert len(recorded(storage, run)) == 50


def test_a_step_that_the_applications_own_rule_rejects_is_refused_alone(storage, run, backend):
    if backend.name == "sqlite":
        backend.execute(
            "CREATE TRIGGER own BEFORE INSERT ON goque_step WHEN NEW.name = 'poison' "
            "BEGIN SELECT RAISE(ABORT, 'no poison'); END"
        )
    else:
        backend.execute("ALTER TABLE goque_step ADD CONSTRAINT own CHECK (name <> 'poison')")
    names = ["a", "poison", "b", "c", "poison"]
    answers = ask(storage, run, *map(record, names))
    states = [State.REFUSED if name == "poison" else State.KNOWN for name in names]
    assert [answer.state for answer in answers] == states
    assert all(answer.text for answer in answers if answer.state is State.REFUSED)
    assert set(recorded(storage, run)) == {"a", "b", "c"}


# -- sleeps ----------------------------------------------------------------------------------------


def test_a_sleep_lasts_from_its_beginning_however_often_it_is_asked_for(storage, run, clock):
    assert ask(storage, run, sleep("nap", 60)) == left(60)
    clock.advance(20)
    assert ask(storage, run, sleep("nap", 60), sleep("nap", 600)) == [left(40), left(40)]
    new = again(storage, run)
    assert ask(storage, new, sleep("nap", 60)) == left(40)
    clock.advance(40)
    assert ask(storage, new, sleep("nap", 60)) == KNOWN
    assert ask(storage, new, sleep("other", 1)) == left(1)
    [row, _] = storage.steps_of(run.id)
    assert (row.kind, row.name, row.value, row.until) == ("sleep", "nap", None, START + timedelta(seconds=60))


def test_a_sleep_of_no_time_is_over_and_one_of_a_century_is_not(storage, run):
    assert ask(storage, run, sleep("none", 0)) == KNOWN
    answer = ask(storage, run, sleep("long", 3e9))
    assert answer.state is State.OPEN
    assert answer.seconds > 300 * 86400


# -- waits -----------------------------------------------------------------------------------------


def test_a_wait_has_its_deadline_from_the_first_time(storage, run, clock):
    assert ask(storage, run, wait("go", 60)) == left(60)
    clock.advance(20)
    assert ask(storage, run, wait("go", 600)) == left(40)
    new = again(storage, run)
    assert ask(storage, new, wait("go", 60)) == left(40)
    [row] = storage.steps_of(run.id)
    assert (row.kind, row.name, row.value, row.claims) == ("wait", "go", None, new.claims)
    assert (row.until, row.made_at) == (START + timedelta(seconds=60), START)


def test_a_wait_without_end_has_no_deadline(storage, run, clock):
    assert ask(storage, run, wait("go")) == left(None)
    clock.advance(1e7)
    assert ask(storage, run, wait("go", 1)) == left(None)
    assert storage.steps_of(run.id)[0].until is None


def test_a_signal_that_is_there_is_the_answer(storage, run):
    assert storage.signal_task(run.id, "go", b'{"by":"ann"}')
    assert ask(storage, run, wait("go", 60), wait("Go", 5)) == [known({"by": "ann"}), left(5)]
    assert ask(storage, again(storage, run), wait("go", 60)) == known({"by": "ann"})


def test_an_expired_wait_stays_expired_though_the_signal_comes(storage, run, clock):
    assert ask(storage, run, wait("go", 60)) == left(60)
    clock.advance(60)
    assert ask(storage, run, wait("go", 60)) == EXPIRED
    assert storage.signal_task(run.id, "go", b"1")
    assert ask(storage, run, wait("go", 60), wait("go")) == [EXPIRED, EXPIRED]
    assert ask(storage, again(storage, run), wait("go", 60)) == EXPIRED
    assert [row.value for row in storage.steps_of(run.id) if row.kind == "wait"] == ['"expired"']


def test_a_signal_after_the_deadline_counts_if_no_run_was_told_before(storage, run, clock):
    ask(storage, run, wait("go", 60))
    clock.advance(100)
    storage.signal_task(run.id, "go", b"1")
    assert ask(storage, run, wait("go", 60)) == known(1)


def test_a_wait_of_no_time_is_a_look(storage, run):
    assert ask(storage, run, wait("go", 0)) == EXPIRED


def test_a_sleep_and_a_wait_and_a_step_may_have_one_name(storage, run):
    assert ask(storage, run, sleep("x", 5), wait("x", 6), record("x", 7)) == [left(5), left(6), KNOWN]
    assert recorded(storage, run) == {"x": 7}


# -- pages -----------------------------------------------------------------------------------------


def test_ten_thousand_steps_are_read_in_pages(storage, run):
    for start in range(0, 10_000, 2_500):
        ask(storage, run, *(record(f"page-{number}", number) for number in range(start, start + 2_500)))
    first = ask(storage, run, read())
    assert (len(first.steps), first.is_all) == (decisions.MAX_PAGE_ROWS, False)
    assert recorded(storage, run) == {f"page-{number}": number for number in range(10_000)}


def test_a_page_of_exactly_all_steps_is_the_last(storage, run, monkeypatch):
    monkeypatch.setattr(decisions, "MAX_PAGE_ROWS", 3)
    monkeypatch.setattr(step_answers, "MAX_PAGE_ROWS", 3)
    ask(storage, run, *(record(name) for name in "abc"))
    assert ask(storage, run, read()).is_all
    ask(storage, run, record("d"))
    assert not ask(storage, run, read()).is_all
    rest = ask(storage, run, opening("c"))
    assert ([name for name, _ in rest.steps], rest.is_all) == (["d"], True)
    assert ask(storage, run, read("d")) == KNOWN


def test_a_page_ends_before_it_has_too_many_bytes(storage, run, monkeypatch):
    monkeypatch.setattr(decisions, "MAX_PAGE_BYTES", 1000)
    ask(storage, run, *(record(f"{number}", "é" * 200) for number in range(5)), record("big", "x" * 5000))
    first = ask(storage, run, read())
    assert ([name for name, _ in first.steps], first.is_all) == (["0", "1"], False)
    assert [name for name, _ in ask(storage, run, read("4")).steps] == ["big"]
    assert len(recorded(storage, run)) == 6


# -- progress --------------------------------------------------------------------------------------


def test_the_last_progress_of_a_run_that_holds_is_kept(storage, run, clock):
    add(storage)
    [other] = claim(storage)
    reports = [
        (run.token, Progress(0.1)),
        (run.token, Progress(0.5, "half\0 é")),
        (stale(other), Progress(1)),
    ]
    storage.write_progress(reports)
    [row] = storage.steps_of(run.id)
    assert (row.kind, row.name, row.value) == ("progress", "", '{"fraction":0.5,"note":"half\\\\x00 é"}')
    assert storage.steps_of(other.id) == []
    assert flags(storage, run) == HAS_STEPS
    clock.advance(5)
    storage.write_progress([(run.token, Progress(1.0, "x" * 5000))])
    [row] = storage.steps_of(run.id)
    assert row.made_at == START + timedelta(seconds=5)
    assert row.value.startswith('{"fraction":1.0,"note":"xxx')
    assert recorded(storage, run) == {}


def test_the_last_rows_of_a_task_are_shown_the_oldest_first(storage, run, clock):
    for number in range(5):
        ask(storage, run, record(f"step-{number}", "x" * 5000 * (number == 4)))
        clock.advance(1)
    assert [row.name for row in storage.steps_of(run.id, limit=2)] == ["step-3", "step-4"]
    assert [len(row.value) for row in storage.steps_of(run.id, limit=2)] == [2, 4000]
    assert storage.steps_of("no id") == []


def test_a_task_that_failed_goes_on_with_its_steps(storage, run):
    ask(storage, run, record("get", 1))
    storage.settle_if_held([put_off(run, 0)])
    assert row_of(storage, run).status == TaskStatus.NEW
    [new] = claim(storage, owner="node-2")
    assert recorded(storage, new) == {"get": 1}
    assert ask(storage, run, record("late", 1)) == LOST
