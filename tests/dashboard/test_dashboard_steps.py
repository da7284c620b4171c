"""The page of a task that records steps: its timeline, what it waits for, and its reset."""

from __future__ import annotations

import json
import re

import pytest
from dashboards import HOSTILE, add, do, form_of, on_every_backend, publish, text_of

from goque.outcome import Change
from goque.steps.question import Ask, Progress, Question
from goque.storage.sql.step_calls.calls import SqlStepRecords
from goque.task_rules.failed_attempt import FailedAttempt


def begin(storage, task_type="ocr"):
    """Insert a task and claim it, as a fetcher does."""
    add(storage, task_type)
    [row] = storage.claim_due(task_type, "node-1", 1)
    return row


def record(storage, row, *names, value=1, seconds=0.5):
    raw = json.dumps(value).encode()
    storage.answer_steps([(row.token, Question(Ask.RECORD, name, raw, duration=seconds)) for name in names])


def end(storage, row, status="new", delay=3600.0):
    assert storage.settle_if_held([Change(row.token, status, int(status != "new"), delay=delay)])


def wait(storage, row, *names, seconds=None):
    storage.answer_steps([(row.token, Question(Ask.WAIT, name, seconds=seconds)) for name in names])
    end(storage, row)


@on_every_backend
def test_a_task_shows_its_steps_its_progress_and_its_signals(dashboard, storage):
    row = begin(storage)
    record(storage, row, "download", value="/tmp/a.pdf", seconds=3.2)
    record(storage, row, *(f"page-{number}" for number in range(4)))
    storage.write_progress([(row.token, Progress(0.4, "page 4 of 10"))])
    storage.signal_task(row.id, "paid", b'{"amount": 120}')
    answer = dashboard.get(f"/tasks/{row.id}")
    told = text_of(answer)
    assert '<progress max="1" value="0.4000">40 %</progress>' in answer.text
    assert "40 % page 4 of 10" in told
    assert "Timeline 5 steps, 5.2 s together" in told
    assert "page-0 to page-3 4 steps 2.0 s" in told
    assert "signal paid" in told
    assert '"/tmp/a.pdf"' in text_of(answer).replace("&#34;", '"')
    assert re.search(r"Signals that have come .* paid \{&#34;amount&#34;: 120\}", told)
    assert (
        answer.text.count('<rect class="') == 5
    )  # its creation, the run, its first step, its pages and the signal
    assert '<details id="steps" open>' in answer.text


@on_every_backend
def test_a_task_says_which_signals_it_waits_for(dashboard, storage):
    publish(storage, "ocr")
    limited, endless, many = (begin(storage) for _ in range(3))
    wait(storage, limited, "approved", seconds=7200.0)
    storage.answer_steps([(endless.token, Question(Ask.WAIT, "approved"))])
    end(storage, endless, delay=100 * 366 * 86400.0)
    wait(storage, many, "a", "b")
    answer = dashboard.get(f"/tasks/{limited.id}")
    assert re.search(r"waiting Waits for the signal approved, until .* UTC \(in \d+m\); ", text_of(answer))
    assert f"<code>goque signal {limited.id} approved</code> sends it." in answer.text
    told = text_of(dashboard.get(f"/tasks/{endless.id}"))
    assert "Waits for the signal approved, since " in told
    assert "Due on a signal" in told
    assert "due on a signal" in text_of(dashboard.get("/tasks"))
    told = text_of(dashboard.get(f"/tasks/{many.id}"))
    assert "or for another one" in told
    assert re.search(r"Waits for Waits for the signal a, since .* Waits for the signal b, since", told)


def test_a_sleeping_task_says_until_when(dashboard, storage):
    row = begin(storage)
    storage.answer_steps([(row.token, Question(Ask.SLEEP, "cool", seconds=3600.0))])
    end(storage, row)
    told = text_of(dashboard.get(f"/tasks/{row.id}"))
    assert re.search(r"Sleeps in step cool until .* UTC \(in \d+m\)\.", told)
    assert "sleep cool now" in told


def test_a_crashed_attempt_and_the_run_after_it_have_their_steps(dashboard, storage):
    row = begin(storage)
    record(storage, row, "download")
    text = "worker crashed in step page-0: signal 11 (SIGSEGV)"
    failed = FailedAttempt(1, "crashed", text, duration=1.0)
    storage.settle_if_held([Change(row.token, "error", 1, errors=f"attempt 1: {text}\n", failed=failed)])
    [row] = storage.claim_due("ocr", "node-1", 1)
    record(storage, row, "page-0")
    told = text_of(dashboard.get(f"/tasks/{row.id}"))
    assert re.search(rf"Attempt 1 failed {re.escape(text)} .*download .*Run .*page-0 ", told)


@on_every_backend
def test_many_steps_are_folded_and_those_in_the_middle_left_out(dashboard, storage):
    row = begin(storage)
    for start in range(0, 3000, 100):
        record(storage, row, *(f"page-{number}" for number in range(start, start + 100)), seconds=0.01)
    answer = dashboard.get(f"/tasks/{row.id}")
    told = text_of(answer)
    assert "Timeline 3,000 steps, 30 s together" in told
    assert "page-0 to page-99 100 steps" in told
    assert "page-2900 to page-2999 100 steps" in told
    assert told.count("2,800 more steps") == 2  # in the timeline and in the table
    assert '<details id="steps" ><summary>' in answer.text
    assert len(answer.text) < 120_000


def test_hostile_names_and_values_are_text(dashboard, storage):
    row = begin(storage)
    record(storage, row, HOSTILE[:200], "日本語", "`code`", value=HOSTILE)
    storage.write_progress([(row.token, Progress(0.1, HOSTILE))])
    storage.signal_task(row.id, HOSTILE[:200], json.dumps(HOSTILE).encode())
    wait(storage, row, f"`{HOSTILE}"[:200])
    for path in (f"/tasks/{row.id}", f"/do/reset?id={row.id}"):
        answer = dashboard.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert "\u202e" not in answer.text
    assert "日本語" in dashboard.get(f"/tasks/{row.id}").text


def test_a_task_without_steps_costs_no_query_for_them(dashboard, storage, monkeypatch):
    monkeypatch.setattr(SqlStepRecords, "step_overview", None)
    answer = dashboard.get(f"/tasks/{add(storage).id}")
    assert answer.status_code == 200
    assert "Timeline Run, step or pause Took Time Began Created +0 ms" in text_of(answer)


@on_every_backend
@pytest.mark.parametrize("choice", ["clear", "keep"])
def test_a_reset_clears_the_steps_unless_somebody_keeps_them(dashboard, storage, choice):
    row = begin(storage)
    record(storage, row, "download")
    end(storage, row, "attempts_left")
    path = f"/do/reset?id={row.id}"
    assert "Recorded steps and signals" in text_of(dashboard.get(path))
    do(dashboard, path, **({} if choice == "clear" else {"steps": choice}))
    assert storage.get_task(row.id).status == "new"
    assert len(storage.steps_of(row.id)) == (choice == "keep")
    said = text_of(dashboard.get(f"/tasks/{row.id}"))
    assert f"Reset task {row.id}{' and kept its steps' if choice == 'keep' else ''}." in said


def test_the_reset_of_a_task_without_steps_asks_for_nothing_more(dashboard, storage):
    row = begin(storage, "mail")
    end(storage, row, "attempts_left")
    assert set(form_of(dashboard, f"/do/reset?id={row.id}")) == {"csrf", "id", "query"}
