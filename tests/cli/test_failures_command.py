"""`goque failures`, and `goque list`, `reset` and `cancel` with `--failure`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from goque import Task, TaskFilter
from goque.outcome import Outcome, OutcomeKind, settle
from goque.retry import static
from goque.storage import open_storage
from goque.task_rules.retry_policy import RetryPolicy

ONCE = RetryPolicy(max_attempts=1)
AGAIN = RetryPolicy(max_attempts=5, strategy=static(3600))
COLUMNS = [
    "group",
    "count",
    "first",
    "last",
    "example",
    "first_version",
    "last_version",
    "type",
    "cause",
    "error_class",
    "line",
    "error",
]


def fail(
    goque: Any,
    number: int = 1,
    error: str = "KeyError: 'user'",
    *,
    task_type: str = "mail",
    policy: RetryPolicy = ONCE,
    version: str | None = None,
    ago: float = 0.0,
) -> tuple[list[str], str]:
    """Let so many new tasks fail, and return their ids and their group."""
    with closing(open_storage(goque.url)) as storage:
        storage.require_schema()
        if ago:
            storage.use_clock(lambda: datetime.now(UTC) - timedelta(seconds=ago))
        storage.insert_tasks([Task(task_type) for _ in range(number)])
        rows = storage.claim_due(task_type, "node-1", number)
        text = (
            f'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in run\n    call()\n{error}\n'
        )
        changes = [settle(Outcome(OutcomeKind.FAILED, error, text), row, policy, version) for row in rows]
        assert len(storage.settle_if_held(changes)) == number
        assert changes[0].group is not None
        return [row.id for row in rows], changes[0].group.id


def statuses(goque: Any, group: str) -> dict[str, str]:
    return {row["id"]: row["status"] for row in goque.json_lines("list", "--json", "--failure", group)}


def test_groups_are_printed_as_json(goque: Any) -> None:
    ids, group = fail(goque, 2, version="1.0")
    fail(goque, 1, version="1.1")
    [line] = goque.json_lines("failures", "--json")
    assert list(line) == COLUMNS
    assert (line["group"], line["count"], line["type"]) == (group, 3, "mail")
    assert line["example"] not in ids
    assert goque("show", line["example"]).returncode == 0
    assert (line["first_version"], line["last_version"]) == ("1.0", "1.1")
    assert (line["cause"], line["error_class"]) == ("exception", "KeyError")
    assert (line["line"], line["error"]) == ("app.py in run: call()", "KeyError: 'user'")
    assert line["first"] < line["last"]


def test_groups_are_printed_as_a_table_in_a_pipe(goque: Any) -> None:
    _ids, group = fail(goque, 2)
    header, line = goque("failures").stdout.splitlines()
    assert header.split()[:5] == ["GROUP", "COUNT", "FIRST", "LAST", "EXAMPLE"]
    assert line.split()[:2] == [group, "2"]
    assert line.endswith("mail  KeyError at app.py in run: call()")


def test_a_terminal_gets_three_lines_for_each_group(goque: Any) -> None:
    [task], group = fail(goque, version="1.0")
    screen = goque.in_terminal("failures", columns=100).screen.splitlines()
    assert screen[0].split() == ["GROUP", "COUNT", "FIRST", "LAST", "VERSIONS", "TYPE"]
    assert screen[1].split()[:2] == [group, "1"]
    assert screen[1].endswith("1.0       mail")
    assert screen[2] == "    KeyError at app.py in run: call()"
    assert screen[3] == f"    KeyError: 'user', as in task {task}"
    narrow = goque.in_terminal("failures", columns=60).screen.splitlines()
    assert max(map(len, narrow)) <= 60


def test_the_list_is_of_one_type_or_of_late_or_short(goque: Any) -> None:
    fail(goque, ago=7200)
    fail(goque, task_type="sms")

    def types(*options: str) -> list[str]:
        return [line["type"] for line in goque.json_lines("failures", "--json", *options)]

    assert types() == ["sms", "mail"]
    assert types("--type", "mail") == ["mail"]
    assert types("--since", "1h") == ["sms"]
    assert types("--limit", "1") == ["sms"]
    assert "the 1 groups that were last seen" in goque("failures", "--limit", "1").stderr
    nothing = goque("failures", "--type", "mial")
    assert nothing.stdout == ""
    assert "did you mean" in nothing.stderr


def test_without_failures_it_says_so(goque: Any, task: Task) -> None:
    done = goque("failures")
    assert (done.stdout, done.stderr) == ("", "no failed attempts are on record\n")
    assert goque("failures", "--json").stdout == ""


def test_the_open_tasks_of_a_group_are_listed_and_reset(goque: Any) -> None:
    failed, group = fail(goque, 2)
    waiting, _ = fail(goque, 1, policy=AGAIN)
    other, _ = fail(goque, 1, "ValueError: x")
    assert statuses(goque, group) == dict.fromkeys(failed, "attempts_left") | {waiting[0]: "error"}
    with goque.queue as queue:
        assert {task.id for task in queue.get_tasks(TaskFilter(failure=group))} == {*failed, *waiting}
    assert goque("reset", "--failure", group).stdout == "reset 3 tasks\n"
    assert statuses(goque, group) == {}
    with goque.queue as queue:
        assert {queue.get_task(task_id).status for task_id in (*failed, *waiting)} == {"new"}
        assert queue.get_task(other[0]).status == "attempts_left"
    assert goque("reset", "--failure", group).stdout == "reset 0 tasks\n"


def test_a_reset_of_a_group_without_open_tasks_says_why_it_changed_nothing(goque: Any) -> None:
    _ids, group = fail(goque)
    assert goque("reset", "--failure", group).stdout == "reset 1 task\n"
    again = goque("reset", "--failure", group)
    assert (again.returncode, again.stdout) == (0, "reset 0 tasks\n")
    assert "no open task has this failure as its last one" in again.stderr


def test_a_reset_at_a_rate_says_when_the_last_is_due(goque: Any) -> None:
    ids, group = fail(goque, 61)
    began = datetime.now(UTC)
    assert (
        goque("reset", "--failure", group, "--per-second", "1").stdout
        == "reset 61 tasks; the last is due in 60s\n"
    )
    with goque.queue as queue:
        due = sorted((queue.get_task(task_id).next_attempt_at - began).total_seconds() for task_id in ids)
    steps = [later - earlier for earlier, later in pairwise(due)]
    assert all(0.99 < step < 1.01 for step in steps), steps


def test_the_waiting_tasks_of_a_group_are_canceled(goque: Any) -> None:
    _failed, group = fail(goque, 2)
    waiting, _ = fail(goque, 1, policy=AGAIN)
    done = goque("cancel", "--failure", group, "--per-second", "100")
    assert done.stdout == "canceled 1 task\n"
    assert "2 tasks with no attempt left cannot be canceled" in done.stderr
    with goque.queue as queue:
        assert queue.get_task(waiting[0]).status == "canceled"


@pytest.mark.parametrize("command", ["reset", "cancel"])
def test_an_unknown_group_is_told(goque: Any, task: Task, command: str) -> None:
    error = goque(command, "--failure", "nosuch", code=1).stderr
    assert error == "goque: no failures have the group 'nosuch'; `goque failures` lists the groups\n"


@pytest.mark.parametrize("command", ["reset", "cancel"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--failure", "x", "--status", "waiting"), "leave out IDs, --status and --type"),
        (("--failure", "x", "--type", "mail"), "leave out IDs, --status and --type"),
        (("--failure", "x", "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"), "leave out IDs, --status and --type"),
        (("--per-second", "5", "--status", "waiting"), "give both"),
        (("--failure", "x", "--per-second", "0"), "0 is not in the range"),
        (("--failure", "x", "--per-second", "many"), "not a valid whole number"),
    ],
)
def test_options_that_contradict_each_other(
    goque: Any, command: str, options: tuple[str, ...], told: str
) -> None:
    assert told in goque(command, *options, code=2).stderr


def test_an_attempt_shows_its_group_and_version(goque: Any) -> None:
    [task], group = fail(goque, version="1.0")
    [shown] = goque.json_lines("show", task, "--json")
    [attempt] = shown["failed_attempts"]
    assert (attempt["failure_group"], attempt["app_version"]) == (group, "1.0")
    told = goque("show", task).stdout
    assert f"  failure:       {group}\n  app version:   1.0\n" in told
