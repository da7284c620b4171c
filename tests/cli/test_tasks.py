"""`goque list`, `show`, `cancel`, `reset` and `stats`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from goque import Flow, Task, retry
from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage import open_storage
from goque.storage.contract import TypePolicy
from goque.task_row import TaskRow
from goque.task_rules.crash_evidence import CrashEvidence
from goque.task_rules.limits import Limits
from goque.task_rules.retry_policy import RetryPolicy

COLUMNS = [name for name in TaskRow.__struct_fields__ if name != "needs"]  # which is no column
STEPS = ("steps", "step_count", "progress", "waits_for", "sleeps", "signals")
LINKS = ["flow", "needs", "need_counts", "dependents", "dependent_count"]
ESCAPE = "\x1b[2J\x1b]0;owned\x07[red]x[/red] \u202e"


def test_list_json_has_the_columns_as_keys(goque: Any, task: Task) -> None:
    (row,) = goque.json_lines("list", "--json")
    assert list(row) == [*COLUMNS, "flow_id"]
    assert row["id"] == task.id
    assert row["flow_id"] is None
    assert row["created_at"] == row["next_attempt_at"]
    assert row["updated_at"] is None


def test_list_json_names_the_flow_of_a_task(goque: Any, task: Task) -> None:
    flow = Flow("import")
    first = flow.add("extract", {})
    flow.add("load", {}, needs=[first])
    with goque.queue as queue:
        flow_id = queue.enqueue_flow(flow).id
    assert {(row["type"], row["flow_id"]) for row in goque.json_lines("list", "--json")} == {
        ("extract", flow_id),
        ("load", flow_id),
        (task.type, None),
    }


def test_list_filters_and_counts(goque: Any) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("a") for _ in range(3)] + [Task("b")])
        queue.cancel_task(queue.enqueue("b").id)
    assert len(goque.json_lines("list", "--type", "a", "--json")) == 3
    assert len(goque.json_lines("list", "--status", "canceled", "--json")) == 1
    limited = goque("list", "--limit", "2")
    assert len(limited.stdout.splitlines()) == 3
    assert "newest 2" in limited.stderr


def test_a_reset_is_not_listed_as_an_error(goque: Any) -> None:
    with goque.queue as queue:
        task = queue.enqueue("a")
        queue.cancel_task(task.id)
        queue.reset_attempts(task.id)
    assert "reset attempts" in goque("show", task.id).stdout
    [_header, line] = goque("list").stdout.splitlines()
    assert line.split()[-1] == "-"
    assert "reset" not in goque.in_terminal("list", columns=200).screen


def test_an_empty_table_is_no_error(goque: Any) -> None:
    goque("migrate")
    assert goque("list").stdout == ""
    assert goque("stats").stdout == ""
    assert goque("list", "--json").stdout == ""


def test_ids_stay_whole_in_a_pipe_and_in_a_narrow_terminal(goque: Any, task: Task) -> None:
    assert task.id in goque("list").stdout
    seen = goque.in_terminal("list", columns=60)
    assert seen.code == 0
    assert task.id in seen.screen


def test_a_terminal_of_80_columns_shows_a_line_for_each_task_and_one_for_what_else_there_is(
    goque: Any,
) -> None:
    with goque.queue as queue:
        done = queue.enqueue("resize_pictures")
        queue.cancel_task(done.id)
        failed = queue.enqueue("send_email", external_id="order-7", priority=5)
        _crash(goque.url)
        later = queue.enqueue("send_email", delay=3600 * 30 + 60)
    lines = goque.in_terminal("list", columns=80).screen.splitlines()
    assert [line.split() for line in lines] == [
        ["ID", "TYPE", "STATUS", "DUE"],
        [later.id, "send_email", "waiting", "in", "30h"],
        [failed.id, "send_email", "waiting", "in", "9m"],
        ["order-7", "priority", "5", "attempt", "1:", "worker", "crashed:", "signal", "11", "(SIGSEGV)"],
        [done.id, "resize_pictures", "canceled"],
    ]
    assert max(map(len, lines)) <= 80


def test_no_note_is_wider_than_the_terminal_and_no_id_is_cut(goque: Any) -> None:
    with goque.queue as queue:
        queue.enqueue("t", external_id="wide \u65e5\u672c " * 20, priority=1)
        task = queue.enqueue("a_type_that_is_much_longer_than_the_columns_that_are_left")
    lines = goque.in_terminal("list", columns=80).screen.splitlines()
    assert lines[1].split()[:3] == [task.id, task.type, "waiting"]
    assert lines[2].split()[1:3] == ["t", "waiting"]
    assert lines[3].endswith("\u2026  priority 1")


def test_a_pipe_sees_every_column_filled_whatever_the_terminal_and_the_time_are(
    goque: Any, task: Task
) -> None:
    with goque.queue as queue:
        queue.cancel_task(queue.enqueue("other").id)
    seen = goque("list", COLUMNS="40").stdout
    assert seen == goque("list", COLUMNS="400").stdout
    header, ended, waiting = (line.split() for line in seen.splitlines())
    names = ["ID", "TYPE", "STATUS", "FAILED_ATTEMPTS", "PRIORITY", "DUE", "EXTERNAL_ID", "LAST_ERROR"]
    assert header == names
    assert ended[1:] == ["other", "canceled", "0", "0", "-", "-", "-"]
    assert waiting == [
        task.id,
        "send_email",
        "waiting",
        "0",
        "0",
        goque.json_lines("list", "--type", "send_email", "--json")[0]["next_attempt_at"],
        "order-7",
        "-",
    ]


def test_show_prints_every_column(goque: Any, task: Task) -> None:
    text = goque("show", task.id.upper()).stdout
    for column in COLUMNS:
        assert f"{column}:" in text
    assert "\nfailed attempts: 0\n" in text
    assert "\nstatus:          waiting (new)\n" in text
    assert '{"to":"a@b.c"}' in text


def test_show_prints_the_crash_report(goque: Any, task: Task) -> None:
    _crash(goque.url)
    text = goque("show", task.id).stdout
    assert "attempt 1: worker crashed: signal 11 (SIGSEGV)" in text
    for part in (
        "attempt 1: crash",
        "11 (SIGSEGV)",
        "12.5 MiB",
        "node-1",
        "4242",
        "oom_kill 0 -> 1",
        'File "handlers.py", line 3 in boom',
        "last words",
    ):
        assert part in text, part
    (row,) = goque.json_lines("show", task.id, "--json")
    assert list(row) == [*COLUMNS, "flow_id", "failed_attempts", "long_runs", *LINKS, *STEPS, "story"]
    assert row["story"]["claims"] == "claimed once, not claimed now"
    assert text.endswith(f"next:   {row['story']['next']}\n")
    (failed,) = row["failed_attempts"]
    assert (failed["attempt"], failed["signal"], failed["cause"], failed["node"]) == (
        1,
        11,
        "crash",
        "node-1",
    )


def test_show_says_which_limit_holds_a_task_back(goque: Any) -> None:
    storage = open_storage(goque.url)
    storage.require_schema()
    storage.publish_types(
        [TypePolicy("mail", 5, None, None, 60.0, 600.0, 60.0, limits=Limits(limit=5, per_key=1))]
    )
    with goque.queue as queue:
        tasks = queue.add_tasks([Task("mail", limit_key="acme") for _ in range(2)])
    [claimed] = storage.claim_due("mail", "node-1", 5)
    storage.close()
    [waits] = [task.id for task in tasks if task.id != claimed.id]
    text = goque("show", waits).stdout
    assert text.endswith("it waits for a place: 1 of 1 tasks with its key run\n")
    assert "waits for a place" not in goque("show", claimed.id).stdout


def test_an_unknown_id_is_exit_code_1(goque: Any, task: Task) -> None:
    unknown = task.id[:-4] + "0000"
    for arguments in (
        ["show", unknown],
        *([verb, unknown] for verb in ("cancel", "reset", "delete")),
        ["show", "' OR 1=1 --"],
    ):
        error = goque(*arguments, code=1).stderr
        assert error.startswith("goque: no task has the id ")
        assert len(error.splitlines()) == 1


def test_cancel_takes_several_and_goes_on_after_an_unknown_one(goque: Any, task: Task) -> None:
    done = goque("cancel", "nosuch", task.id, code=1)
    assert done.stdout == f"{task.id} canceled\n"
    assert goque("cancel", task.id).stdout == f"{task.id} has ended already\n"


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_cancel_says_that_another_library_which_runs_the_task_does_not_notice(
    goque: Any, task: Task, status: str
) -> None:
    """The Go library claims without an owner, and writes the end of a task over whatever its row says."""
    _update(goque, "UPDATE goque_task SET status = :status", status=status)
    said = goque("cancel", task.id).stdout
    assert said == (
        f"{task.id} canceled, but another library runs it, which does not notice and may still end it as done\n"
    )
    assert goque("cancel", task.id).stdout == f"{task.id} has ended already\n"


def test_reset_makes_a_task_new_and_refuses_a_claimed_one(goque: Any, task: Task) -> None:
    assert goque("reset", task.id).stdout == f"{task.id} was new already\n"
    goque("cancel", task.id)
    assert goque("reset", task.id).stdout == f"{task.id} reset\n"
    with closing(open_storage(goque.url)) as storage:
        storage.claim_due("send_email", "somebody", 1)
    assert goque("reset", task.id, code=1).stderr.startswith("goque: ")


def test_reset_by_status_takes_all_that_match_and_says_how_many(goque: Any) -> None:
    with goque.queue as queue:
        for task in queue.add_tasks([Task("a") for _ in range(5)] + [Task("b") for _ in range(2)]):
            queue.cancel_task(task.id)
    assert goque("reset", "--status", "canceled", "--type", "a").stdout == "reset 5 tasks\n"
    assert goque("reset", "--status", "canceled").stdout == "reset 2 tasks\n"
    assert goque("reset", "--status", "attempts_left").stdout == "reset 0 tasks\n"


def test_stats_count_by_type_and_status(goque: Any) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("a"), Task("a"), Task("b")])
        queue.cancel_task(queue.enqueue("b").id)
    assert goque.json_lines("stats", "--json") == [
        {"type": "a", "status": "new", "count": 2},
        {"type": "b", "status": "canceled", "count": 1},
        {"type": "b", "status": "new", "count": 1},
    ]
    assert [line.split() for line in goque("stats").stdout.splitlines()] == [
        ["TYPE", "WAITING", "CANCELED"],
        ["a", "2", "0"],
        ["b", "1", "1"],
    ]


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["show"], ["show", "--json"], ["stats"]])
def test_hostile_text_in_the_database_is_inert(goque: Any, task: Task, arguments: list[str]) -> None:
    _poison(goque, task)
    arguments = [*arguments, task.id] if "show" in arguments else arguments
    written = goque(*arguments).stdout
    screen = goque.in_terminal(*arguments, columns=400).screen
    assert "\x1b[2J" not in screen
    assert "\x1b]0;" not in screen
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(written)
    assert "[red]x[/red]" in written
    assert "[red]x[/red]" in screen


def test_list_json_keeps_one_object_a_line_whatever_the_payload_is(goque: Any, task: Task) -> None:
    for payload in (
        '{\n "a":\t1e400,\n "b": 123456789012345678901234567890}',
        "no json at all\n",
        "[" * 5000,
    ):
        _update(goque, "UPDATE goque_task SET payload = :payload", payload=payload)
        lines = goque("list", "--json").stdout.splitlines()
        assert len(lines) == 1
        assert task.id in lines[0]


def _crash(url: str) -> None:
    with closing(open_storage(url)) as storage:
        (row,) = storage.claim_due("send_email", "node-1", 1)
        crash = CrashEvidence(
            signal=11,
            max_rss=int(12.5 * 2**20),
            oom="oom_kill 0 -> 1",
            stack='Current thread:\n  File "handlers.py", line 3 in boom',
            stderr="last words\n",
        )
        outcome = Outcome(
            OutcomeKind.CRASHED, "worker crashed: signal 11 (SIGSEGV)", pid=4242, duration=0.5, crash=crash
        )
        assert storage.settle_if_held(
            [settle(outcome, row, RetryPolicy(strategy=retry.static(600)))], node="node-1"
        )


def _poison(goque: Any, task: Task) -> None:
    _update(
        goque,
        "UPDATE goque_task SET type = :text, external_id = :text, errors = :text, payload = :payload"
        " WHERE id = :id",
        text=ESCAPE + "\x9b31m",
        payload=f'{{"k": "{ESCAPE}"}}',
        id=task.id,
    )


def _update(goque: Any, statement: str, **params: str) -> None:
    with closing(sqlite3.connect(goque.directory / "goque.db")) as connection, connection:
        connection.execute(statement, params)
