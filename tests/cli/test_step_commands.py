"""`goque signal`, `goque reset --keep-steps`, and the steps that `goque show` prints."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from goque import Task
from goque.outcome import Change
from goque.steps.question import Ask, Progress, Question
from goque.storage import open_storage
from goque.storage.contract import TaskStorage
from goque.task_row import TaskRow

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"
HOSTILE = "\x1b[31mred\n<b>" + "x" * 150


@pytest.fixture
def storage(goque: Any) -> Any:
    made = open_storage(goque.url)
    made.migrate()
    yield made
    made.close()


def begin(storage: TaskStorage, task_type: str = "ocr") -> TaskRow:
    """Insert a task and claim it, as a fetcher does."""
    storage.insert_tasks([Task(task_type, {"pages": 3})])
    [row] = storage.claim_due(task_type, "node-1", 1)
    return row


def record(storage: TaskStorage, row: TaskRow, *names: str, value: Any = 1, seconds: float = 0.5) -> None:
    raw = json.dumps(value).encode()
    storage.answer_steps([(row.token, Question(Ask.RECORD, name, raw, duration=seconds)) for name in names])


def end(storage: TaskStorage, row: TaskRow, status: str = "new", delay: float = 3600.0) -> None:
    failed = int(status in ("error", "attempts_left"))
    change = Change(row.token, status, failed, errors="attempt 1: boom\n" if failed else None, delay=delay)  # type: ignore[arg-type]  # its text
    assert storage.settle_if_held([change])


def wait(storage: TaskStorage, row: TaskRow, name: str, seconds: float | None = None) -> None:
    storage.answer_steps([(row.token, Question(Ask.WAIT, name, seconds=seconds))])
    end(storage, row)


def kinds(storage: TaskStorage, row: TaskRow) -> list[tuple[str, str, str | None]]:
    return [(one.kind, one.name, one.value) for one in storage.steps_of(row.id)]


def test_a_signal_is_kept_once_and_the_first_wins(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    done = goque("signal", row.id.upper(), "approved", '{"by": "ada", "n": 1.50}')
    assert (done.stdout, done.stderr) == (f"{row.id} got the signal approved\n", "")
    again = goque("signal", row.id, "approved", "2")
    assert again.stdout == f"{row.id} already has a signal approved and keeps it\n"
    goque("signal", row.id, "paid")
    goque("signal", row.id, "form", "-", stdin='["from stdin"]\n')
    assert {name: value for _, name, value in kinds(storage, row)} == {
        "approved": '{"by": "ada", "n": 1.50}',
        "paid": "null",
        "form": '["from stdin"]',
    }


def test_a_task_that_waits_for_a_signal_is_due_when_it_comes(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    wait(storage, row, "approved")
    goque("signal", row.id, "something else")
    assert storage.claim_due("ocr", "node-1", 1) == []
    goque("signal", row.id, "approved", "true")
    assert [claimed.id for claimed in storage.claim_due("ocr", "node-1", 1)] == [row.id]


def test_a_signal_that_nobody_can_get_is_refused_in_one_line(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    end(storage, row, "done")
    for arguments, code, text in (
        ((UNKNOWN, "approved"), 1, f"no task has the id '{UNKNOWN}'"),
        (("order-7", "approved"), 1, "`goque list --external-id` shows the id of a task"),
        ((row.id, "approved"), 1, f"task {row.id} is done"),
        ((row.id, "approved", "{by: ada}"), 2, "not JSON"),
        ((row.id, "approved", "yes"), 2, "write it in the shell's quotes"),
        ((row.id, "approved", ""), 2, "not JSON"),
        ((row.id, ""), 2, "NAME"),
        ((row.id, "x" * 201), 2, "must have 1 to 200 characters, not 201"),
        ((row.id,), 2, "NAME"),
    ):
        error = goque("signal", *arguments, code=code).stderr
        assert text in error
        assert error.count("\n") == 1 or "Usage:" in error
    assert kinds(storage, row) == []


def test_a_reset_clears_the_steps_unless_they_are_to_be_kept(goque: Any, storage: TaskStorage) -> None:
    rows = [begin(storage) for _ in range(4)]
    for row in rows:
        record(storage, row, "download")
        end(storage, row, "attempts_left")
    kept, cleared, *many = rows
    assert goque("reset", "--keep-steps", kept.id).stdout == f"{kept.id} reset\n"
    assert goque("reset", cleared.id).stdout == f"{cleared.id} reset\n"
    assert (len(kinds(storage, kept)), len(kinds(storage, cleared))) == (1, 0)
    assert goque("reset", "--keep-steps", "--status", "failed").stdout == "reset 2 tasks\n"
    assert [len(kinds(storage, row)) for row in many] == [1, 1]
    for row in storage.claim_due("ocr", "node-1", 4):
        end(storage, row, "attempts_left")
    assert goque("reset", "--status", "failed").stdout == "reset 4 tasks\n"
    assert [kinds(storage, row) for row in rows] == [[], [], [], []]


def test_show_prints_steps_progress_and_signals(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    record(storage, row, "download", value="/tmp/a.pdf", seconds=3.21)
    record(storage, row, "page-0", "page-1", seconds=0.25)
    storage.write_progress([(row.token, Progress(0.4, "page 2 of 5"))])
    goque("signal", row.id, "paid", '{"amount": 120}')
    text = goque("show", row.id).stdout
    assert "flags:           16 (has steps)" in text
    block = text.partition("\nsteps: ")[2].splitlines()
    assert block[0] == "3, 3.71s together"
    times = r"  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z  "
    for line, expected in zip(
        block[1:4],
        ('  3.21s  download  "/tmp/a.pdf"', "  250ms  page-0    1", "  250ms  page-1    1"),
        strict=True,
    ):
        assert re.fullmatch(times + re.escape(expected), line), line
    assert re.fullmatch(r"progress: \[#{10}-{14}\] 40 %  page 2 of 5  \(\d+s ago\)", block[4])
    assert block[5] == "signals: 1"
    assert re.fullmatch(times + re.escape('paid  {"amount": 120}'), block[6])


def test_show_says_what_a_task_waits_for(goque: Any, storage: TaskStorage) -> None:
    endless, limited, asleep = (begin(storage) for _ in range(3))
    wait(storage, endless, "approved")
    wait(storage, limited, "approved by Ada", 7200.0)
    storage.answer_steps([(asleep.token, Question(Ask.SLEEP, "cool", seconds=3600.0))])
    end(storage, asleep)
    text = goque("show", endless.id).stdout
    assert re.search(
        r"^next:   waits for the signal approved, since 2\S+ \S+ UTC \(\d+s ago\); ", text, re.MULTILINE
    )
    assert f"`goque signal {endless.id} approved` sends it" in text
    text = goque("show", limited.id).stdout
    assert re.search(
        r"^next:   waits for the signal approved by Ada, until .* \(in \d+m\); ", text, re.MULTILINE
    )
    assert f"`goque signal {limited.id} 'approved by Ada'` sends it" in text
    assert re.search(
        r"^next:   sleeps in step cool until .* UTC \(in \d+m\)$",
        goque("show", asleep.id).stdout,
        re.MULTILINE,
    )


def test_of_many_steps_the_first_and_the_last_are_printed(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    for start in range(0, 3000, 1000):
        record(storage, row, *(f"page-{number}" for number in range(start, start + 1000)), seconds=0.01)
    text = goque("show", row.id).stdout
    block = text.partition("\nsteps: ")[2].splitlines()
    assert block[0] == "3,000, 30s together"
    assert block[6] == "  and 2,985 more"
    assert block[16].split()[2:] == ["page-2999", "1"]
    [seen] = goque.json_lines("show", row.id, "--json")
    assert (seen["step_count"], len(seen["steps"])) == (3000, 1000)


def test_the_json_of_a_task_has_its_steps_and_what_it_waits_for(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    record(storage, row, "download", value={"n": [1.5, None]})
    storage.write_progress([(row.token, Progress(0.5, "half"))])
    goque("signal", row.id, "paid", "1")
    wait(storage, row, "approved", 60.0)
    [seen] = goque.json_lines("show", row.id, "--json")
    [step] = seen["steps"]
    assert step.pop("made_at").endswith("Z")
    assert step == {"name": "download", "value": {"n": [1.5, None]}, "duration": 0.5, "claims": 1}
    assert seen["progress"].pop("at").endswith("Z")
    assert seen["progress"] == {"fraction": 0.5, "note": "half"}
    [waits] = seen["waits_for"]
    assert waits["signal"] == "approved"
    assert waits["since"] < waits["until"]
    assert [(signal["name"], signal["value"]) for signal in seen["signals"]] == [("paid", 1)]
    assert seen["sleeps"] == []
    [plain] = goque.json_lines("show", begin(storage, "plain").id, "--json")
    facts = ("steps", "step_count", "progress", "waits_for", "sleeps", "signals")
    assert [plain[name] for name in facts] == [[], 0, None, [], [], []]


def test_a_task_without_steps_costs_no_query_for_them(goque: Any, task: Task) -> None:
    (goque.directory / "sitecustomize.py").write_text(
        "from goque.storage.sql.step_calls.calls import SqlStepRecords\n"
        "def refuse(*args, **options): raise RuntimeError('asked')\n"
        "SqlStepRecords.step_overview = refuse\n"
    )
    path = f"{goque.directory}:{Path(sys.modules['goque'].__path__[0]).parent}"
    text = goque("show", task.id, PYTHONPATH=path).stdout
    assert "steps:" not in text


def test_hostile_names_are_printed_inert(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    record(storage, row, HOSTILE, "日本語", value="\x1b[0m")
    storage.write_progress([(row.token, Progress(0.1, "\x1b]0;owned\x07"))])
    storage.signal_task(row.id, HOSTILE, b'"\x7f"')
    wait(storage, row, "\u202eevil")
    shown = goque("show", row.id)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", shown.stdout)
    assert "日本語" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) < 260


def test_a_task_that_waits_without_a_deadline_has_no_date_in_a_list(goque: Any, storage: TaskStorage) -> None:
    row = begin(storage)
    storage.answer_steps([(row.token, Question(Ask.WAIT, "approved"))])
    end(storage, row, delay=100 * 366 * 86400.0)
    assert "on a signal" in goque.in_terminal("list").screen
