"""`goque enqueue`: one task, or many from JSON lines."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


def test_one_task_prints_its_id(goque: Any) -> None:
    task_id = goque("enqueue", "send_email", '{"to": "ä@b.c"}', "--external-id", "order-7").stdout.strip()
    (row,) = goque.json_lines("list", "--json")
    assert row["id"] == task_id
    assert (row["type"], row["external_id"], row["payload"]) == ("send_email", "order-7", {"to": "ä@b.c"})
    assert row["status"] == "new"


def test_no_payload_is_an_empty_object(goque: Any) -> None:
    goque("enqueue", "tick")
    assert goque.json_lines("list", "--json")[0]["payload"] == {}


def test_a_duplicate_is_exit_code_1(goque: Any) -> None:
    goque("enqueue", "t", "--external-id", "k")
    error = goque("enqueue", "t", "--external-id", "k", code=1).stderr
    assert error == (
        "goque: a task of type 't' with external id 'k' exists already; give another --external-id\n"
    )
    assert len(goque.json_lines("list", "--json")) == 1


@pytest.mark.parametrize("payload", ["{bad", "", "nan", "[" * 40 + "]" * 40, '"\\u0000"'])
def test_a_payload_that_no_database_keeps_is_exit_code_1(goque: Any, payload: str) -> None:
    error = goque("enqueue", "t", payload, code=1).stderr
    assert error.startswith("goque: payload ")
    assert len(error.splitlines()) == 1


def test_text_that_is_no_json_is_answered_with_how_to_quote_it(goque: Any) -> None:
    error = goque("enqueue", "t", "hello", code=1).stderr
    assert "payload is not JSON" in error
    assert "'\"hello\"'" in error
    assert "such as" not in goque("enqueue", "t", "[" * 40 + "]" * 40, code=1).stderr


def test_delay_and_at_say_when_it_is_due(goque: Any) -> None:
    goque("enqueue", "later", "--delay", "90.5")
    goque("enqueue", "then", "--at", "2031-05-05T12:00:00+02:00")
    rows = {row["type"]: row for row in goque.json_lines("list", "--json")}
    assert _instant(rows["later"]["next_attempt_at"]) - _instant(rows["later"]["created_at"]) == timedelta(
        seconds=90.5
    )
    assert _instant(rows["then"]["next_attempt_at"]) == datetime(2031, 5, 5, 10, tzinfo=UTC)


def test_json_lines_are_payloads_of_a_type(goque: Any) -> None:
    lines = "".join(f'{{"n": {n}}}\n' for n in range(1234))
    done = goque("enqueue", "count", "--jsonl", "-", "--priority", "3", stdin=lines)
    assert done.stdout == f"enqueued 1234 tasks in {goque.url}\n"
    assert not done.stderr
    rows = goque.json_lines("list", "--json", "--limit", "2000")
    assert sorted(row["payload"]["n"] for row in rows) == list(range(1234))
    assert {row["priority"] for row in rows} == {3}


def test_json_lines_without_a_type_say_everything_themselves(goque: Any) -> None:
    told = [
        {"type": "a", "payload": [1, 2], "external_id": "x", "priority": -5, "metadata": {"trace": "1"}},
        {"type": "b", "run_at": "2031-01-01T00:00:00Z"},
        {"type": "c", "delay": 60, "payload": None},
        {"type": "d", "delay": "1h30m"},
    ]
    (goque.directory / "tasks.jsonl").write_text("\n\n".join(map(json.dumps, told)))
    assert (
        goque("enqueue", "--jsonl", "tasks.jsonl", "--priority", "9").stdout
        == f"enqueued 4 tasks in {goque.url}\n"
    )
    rows = {row["type"]: row for row in goque.json_lines("list", "--json")}
    assert (rows["a"]["payload"], rows["a"]["external_id"], rows["a"]["priority"]) == ([1, 2], "x", -5)
    assert rows["a"]["metadata"] == {"trace": "1"}
    assert rows["b"]["next_attempt_at"] == "2031-01-01T00:00:00.000000Z"
    assert (rows["b"]["payload"], rows["b"]["priority"]) == ({}, 9)
    assert rows["c"]["payload"] is None
    assert _instant(rows["d"]["next_attempt_at"]) - _instant(rows["d"]["created_at"]) == timedelta(minutes=90)


def test_a_bad_line_is_reported_with_its_number_and_stops_nothing(goque: Any) -> None:
    lines = ['{"n": 1}', "{bad", '{"n": 3}', "", "[" * 50 + "]" * 50, '{"n": 6}']
    done = goque("enqueue", "t", "--jsonl", "-", stdin="\n".join(lines), code=1)
    assert done.stdout == f"enqueued 3 tasks in {goque.url}\n"
    reports = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in reports[:-1]] == ["line 2", "line 5"]
    assert reports[-1] == "goque: 2 lines were not enqueued"
    assert {row["payload"]["n"] for row in goque.json_lines("list", "--json")} == {1, 3, 6}


@pytest.mark.parametrize(
    "line",
    [
        b'{"payload": 1}',
        b'{"type": "t", "paylod": 1}',
        b'{"type": "t", "run_at": "2031-01-01T00:00:00"}',
        b'{"type": "t", "delay": -1}',
        b'{"type": "t", "delay": "-1s"}',
        b'{"type": "t", "delay": "soon"}',
        b'{"type": "t", "delay": 1, "run_at": "2031-01-01T00:00:00Z"}',
        b'{"type": "t", "run_at": "0001-01-01T00:00:00+14:00"}',
        b'{"type": "t", "priority": 101}',
        b'{"type": ""}',
        b'{"type": "t", "metadata": []}',
        b"[]",
        b"\xff\xfe",
        b'{"type": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_task_is_reported_in_one_line(goque: Any, line: bytes) -> None:
    done = goque("enqueue", "--jsonl", "-", stdin=b'{"type": "good"}\n' + line + b"\n", code=1)
    assert done.stdout == f"enqueued 1 task in {goque.url}\n"
    assert done.stderr.startswith("goque: line 2: ")
    assert len(done.stderr.splitlines()) == 2


def test_duplicates_are_reported_and_the_rest_goes_in(goque: Any) -> None:
    lines = "".join(json.dumps({"type": "t", "external_id": key}) + "\n" for key in "abca")
    done = goque("enqueue", "--jsonl", "-", stdin=lines, code=1)
    assert done.stdout == f"enqueued 3 tasks in {goque.url}\n"
    assert done.stderr.splitlines() == [
        "goque: line 4: a task of type 't' with external id 'a' exists already",
        "goque: 1 line was not enqueued",
    ]
    again = goque("enqueue", "--jsonl", "-", stdin=lines, code=1)
    assert again.stdout == f"enqueued 0 tasks in {goque.url}\n"
    assert len(again.stderr.splitlines()) == 5


def test_lines_are_reported_in_their_order_whatever_is_wrong_with_them(goque: Any) -> None:
    goque("enqueue", "t", "--external-id", "taken")
    taken, free = (json.dumps({"type": "t", "external_id": key}) for key in ("taken", "free"))
    lines = ["{bad", taken, free, "[]", taken]
    done = goque("enqueue", "--jsonl", "-", stdin="\n".join(lines), code=1)
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()[:-1]] == [
        "line 1",
        "line 2",
        "line 4",
        "line 5",
    ]


def test_bad_lines_are_reported_even_if_the_database_refuses_all_others(goque: Any) -> None:
    goque("migrate")
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON goque_task BEGIN SELECT RAISE(ABORT, 'not today'); END"
        )
    done = goque("enqueue", "t", "--jsonl", "-", stdin="{bad\n{}", code=1)
    first, second, summary = done.stderr.splitlines()
    assert first.startswith("goque: line 1: ")
    assert second.startswith("goque: line 2: ")
    assert "not today" in second
    assert summary == "goque: 2 lines were not enqueued"
    assert done.stdout == f"enqueued 0 tasks in {goque.url}\n"


@pytest.mark.parametrize(
    "fault",
    [
        '"payload": 1e-99999',
        '"payload": {"a": 0.%s1}' % ("0" * 20_000),
        '"metadata": {"a": "\\u0000"}',
        '"metadata": {"a": %s}' % ("[" * 40 + "]" * 40),
        '"metadata": {"a": "%s"}' % ("x" * 1024 * 1024),
        '"payload": "refused by the database"',
    ],
)
def test_a_bad_line_of_any_kind_loses_no_other_line(goque: Any, fault: str) -> None:
    goque("migrate")
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON goque_task WHEN NEW.payload LIKE '%refused%' "
            "BEGIN SELECT RAISE(ABORT, 'not today'); END"
        )
    lines = [f'{{"type": "t", "payload": {n}}}' for n in range(1, 8)]
    lines[2] = lines[5] = f'{{"type": "t", {fault}}}'
    done = goque("enqueue", "--jsonl", "-", stdin="\n".join(lines), code=1)
    assert done.stdout == f"enqueued 5 tasks in {goque.url}\n"
    reports = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in reports[:-1]] == ["line 3", "line 6"]
    assert reports[-1] == "goque: 2 lines were not enqueued"
    assert {row["payload"] for row in goque.json_lines("list", "--json")} == {1, 2, 4, 5, 7}


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(goque: Any) -> None:
    goque("enqueue", "t", "--jsonl", "-", stdin=b'\xef\xbb\xbf{"n": 1}\r\n{"n": 2}\r\n')
    assert {row["payload"]["n"] for row in goque.json_lines("list", "--json")} == {1, 2}


def test_a_terminal_sees_a_progress_bar(goque: Any) -> None:
    (goque.directory / "lines.jsonl").write_text("{}\n" * 1200)
    seen = goque.in_terminal("enqueue", "t", "--jsonl", "lines.jsonl")
    assert seen.code == 0
    assert "1200 tasks" in seen.screen
    assert "━" in seen.screen


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_negative_delay_is_told_what_it_must_be(goque: Any) -> None:
    assert (
        "must be 0 or more seconds, such as 90, 90s, 5m or 2h, not '-4'"
        in goque("enqueue", "t", "--delay", "-4", code=2).stderr
    )
