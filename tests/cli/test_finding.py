"""Find tasks: the filters of `goque list`, `goque show` by an external id, and hints for what was misspelt."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goque import Task
from goque.options import ProcessorOptions
from goque.storage import open_storage
from goque.storage.contract import policy_of

APP = """
import goque

registry = goque.Registry(database_url="sqlite:///goque.db")
registry.add_processor("send_letter", goque.noop_task_processor)
"""


def ids(goque: Any, *filters: str, **env: str) -> set[str]:
    lines = goque("list", "--json", *filters, **env).stdout.splitlines()
    return {line.partition('"id":"')[2][:36] for line in lines}


@pytest.fixture
def tasks(goque: Any) -> dict[str, str]:
    """One waiting, one claimed, one running, one canceled task, and their ids by these words."""
    with goque.queue as queue:
        queue.add_tasks(
            [
                Task("claimed", limit_key="acme"),
                Task("running"),
                Task("mail", {"to": "Ada@example.com"}, external_id="order-7", limit_key="acme "),
            ]
        )
        canceled = queue.enqueue("mail", {"to": "bob@example.com"}, external_id="order-8")
        queue.cancel_task(canceled.id)
    with closing(open_storage(goque.url)) as storage:
        storage.claim_due("claimed", "node-1", 1)
        (row,) = storage.claim_due("running", "node-1", 1)
        storage.mark_processing([row.token])
    rows = goque.json_lines("list", "--json")
    words = {"new": "waiting", "pending": "claimed", "processing": "running", "canceled": "canceled"}
    return {words[row["status"]]: row["id"] for row in rows}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--status", "waiting"], "waiting"),
        (["--status", "new"], "waiting"),
        (["--status", "claimed"], "claimed"),
        (["--status", "running"], "running"),
        (["--status", "waiting,running"], "waiting running"),
        (["--status", "waiting", "--status", "claimed,canceled"], "waiting claimed canceled"),
        (["--status", "failed"], ""),
        (["--external-id", "order-7"], "waiting"),
        (["--external-id", "order"], ""),
        (["--limit-key", "acme"], "claimed"),
        (["--limit-key", "acme ", "--type", "mail"], "waiting"),
        (["--limit-key", "acme", "--type", "mail"], ""),
        (["--payload", "ada@EXAMPLE.com"], "waiting"),
        (["--payload", "example.com", "--status", "canceled"], "canceled"),
        (["--error", "boom"], ""),
        (["--since", "1h"], "waiting claimed running canceled"),
        (["--since", "2099-01-01T00:00:00Z"], ""),
        (["--type", "mail", "--since", "90s", "--payload", "ada"], "waiting"),
    ],
)
def test_each_filter_narrows_the_list(
    goque: Any, tasks: dict[str, str], filters: list[str], found: str
) -> None:
    assert ids(goque, *filters) == {tasks[word] for word in found.split()}


def test_a_list_adds_up_from_the_environment_and_from_a_file_too(goque: Any, tasks: dict[str, str]) -> None:
    both = {tasks["waiting"], tasks["canceled"]}
    assert ids(goque, GOQUE_STATUS="waiting,canceled") == both
    Path(goque.directory, "goque.toml").write_text("[list]\nstatus = ['waiting', 'canceled']")
    assert ids(goque) == both


def test_people_see_words_and_programs_the_raw_status(goque: Any, tasks: dict[str, str]) -> None:
    table = goque("list").stdout.splitlines()[1:]
    assert {line.split()[0]: line.split()[2] for line in table} == {
        task_id: word for word, task_id in tasks.items()
    }
    assert {row["status"] for row in goque.json_lines("list", "--json")} == {
        "new",
        "pending",
        "processing",
        "canceled",
    }
    assert "status:          claimed (pending)" in goque("show", tasks["claimed"]).stdout


def test_a_list_goes_on_before_an_id(goque: Any) -> None:
    with goque.queue as queue:
        newest_first = sorted((queue.enqueue("t").id for _ in range(5)), reverse=True)
    assert ids(goque, "--before", newest_first[1]) == set(newest_first[2:])
    assert ids(goque, "--before", newest_first[0].upper(), "--limit", "2") == set(newest_first[1:3])
    nothing = goque("list", "--before", newest_first[-1])
    assert nothing.stderr == f"no such tasks in {goque.url}\n"


def test_json_rows_keep_their_order_over_several_reads(goque: Any) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("t", {"n": n}) for n in range(1203)])
    rows = goque.json_lines("list", "--json", "--limit", "1100")
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert len(rows) == 1100


def test_show_takes_an_external_id(goque: Any, task: Task) -> None:
    assert f"id:              {task.id}" in goque("show", "order-7").stdout
    assert goque.json_lines("show", "order-7", "--type", "send_email", "--json")[0]["id"] == task.id
    wrong = goque("show", "order-7", "--type", "send_emial", code=1).stderr
    assert wrong == (
        "goque: no task of type 'send_emial' has the id or external id 'order-7'; "
        "there is no type 'send_emial'; did you mean 'send_email'?\n"
    )


def test_show_names_the_tasks_of_several_types_with_an_external_id(goque: Any, task: Task) -> None:
    with goque.queue as queue:
        other = queue.enqueue("send_sms", external_id="order-7")
    error = goque("show", "order-7", code=1).stderr
    assert error == (
        f"goque: several tasks have the external id 'order-7': {other.id} (send_sms), {task.id} (send_email); "
        "give one of these ids, or --type\n"
    )
    assert other.id in goque("show", "order-7", "--type", "send_sms").stdout


def test_show_says_what_was_probably_meant(goque: Any, task: Task) -> None:
    def said(text: str) -> str:
        return goque("show", text, code=1).stderr.partition("; ")[2].strip()

    assert said("7") == "did you mean order-7?"
    assert said("oder-7") == "did you mean order-7?"
    assert said(task.id[-8:]) == f"did you mean {task.id}?"
    assert said("42") == "`goque list` shows the ids of tasks"
    assert goque("show", "\udcff", code=1).stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["list", "cancel --status waiting", "delete --status done"])
def test_a_misspelt_type_is_answered_with_the_nearest_one(goque: Any, task: Task, command: str) -> None:
    said = goque(*command.split(), "--type", "send_emial").stderr.splitlines()[-1]
    assert said == "goque: there is no type 'send_emial'; did you mean 'send_email'?"
    assert "there is 'send_email'" in goque(*command.split(), "--type", "x").stderr
    assert "there is no type" not in goque(*command.split(), "--type", task.type).stderr


def test_a_type_of_the_app_is_known_though_no_task_has_it(goque: Any, task: Task) -> None:
    Path(goque.directory, "shop.py").write_text(APP)
    near = goque("list", "--type", "send_leter", "--app", "shop:registry").stderr
    assert near.endswith("did you mean 'send_letter'?\n")
    assert "no type" not in goque("list", "--type", "send_letter", "--app", "shop:registry").stderr
    Path(goque.directory, "shop.py").write_text("1 / 0")
    broken = goque("list", "--type", "send_emial", "--app", "shop:registry", "--database-url", goque.url)
    assert broken.stderr.endswith("did you mean 'send_email'?\n")


def test_enqueue_says_where_the_task_went_and_warns_of_a_misspelt_type(goque: Any) -> None:
    done = goque("enqueue", "send_emial")
    assert len(done.stdout.strip()) == 36
    assert done.stderr == f"enqueued in {goque.url}\n"
    with closing(open_storage(goque.url)) as storage:
        storage.publish_types([policy_of("send_email", ProcessorOptions())])
    said = goque("enqueue", "send_emial").stderr.splitlines()
    assert said[1] == "goque: no supervisor has run tasks of type 'send_emial'; did you mean 'send_email'?"
    assert len(goque("enqueue", "send_email").stderr.splitlines()) == 1
    assert len(goque("enqueue", "something_else").stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("0.5h", 1800), ("250ms", 0.25)],
)
def test_a_delay_may_have_a_unit(goque: Any, delay: str, seconds: float) -> None:
    goque("enqueue", "t", "--delay", delay)
    with goque.queue as queue:
        (row,) = queue.get_tasks()
    assert (row.next_attempt_at - row.created_at).total_seconds() == seconds


def test_a_search_that_stops_early_says_how_to_go_on(goque: Any) -> None:
    """What no index helps to find is looked for in a bounded number of tasks."""
    few = "import goque.storage.sql.search as s; s.FIRST_WALK, s.MAX_WALK = 2, 3; import goque.cli as c; c.main()"
    with goque.queue as queue:
        rare = queue.enqueue("t", {"rare": "needle"})
        queue.add_tasks([Task("t") for _ in range(8)])

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", few, "list", "--payload", "needle", *more]
        return subprocess.run(
            command, cwd=goque.directory, env=goque.env, capture_output=True, text=True, check=True
        )

    first = run()
    assert first.stdout == ""
    assert "searched the tasks created since 20" in first.stderr
    second = run("--before", first.stderr.partition("--before ")[2][:36])
    assert rare.id in second.stdout
    assert "looked at" not in second.stderr


def test_a_search_can_go_to_the_end(goque: Any) -> None:
    few = "import goque.storage.sql.search as s; s.FIRST_WALK, s.MAX_WALK = 2, 3; import goque.cli as c; c.main()"
    with goque.queue as queue:
        rare = queue.enqueue("t", {"rare": "needle"})
        queue.add_tasks([Task("t") for _ in range(40)])
    command = [sys.executable, "-c", few, "list", "--payload", "needle", "--all"]
    found = subprocess.run(
        command, cwd=goque.directory, env=goque.env, capture_output=True, text=True, check=True
    )
    assert rare.id in found.stdout
    assert found.stderr == ""


def test_counts_that_end_early_say_so(goque: Any) -> None:
    """A lower bound is never taken for a count: in the table, in JSON and on stderr."""
    few = (
        "import goque.storage.sql.task_lists.type_counts as t; t.MAX_COUNTED = t.MAX_WAITING = 2; "
        "t.LEAST = t.LEAST_WAITING = 1; import goque.cli as c; c.main()"
    )
    with goque.queue as queue:
        queue.add_tasks([Task("t") for _ in range(3)])

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", few, "stats", *more]
        return subprocess.run(
            command, cwd=goque.directory, env=goque.env, capture_output=True, text=True, check=True
        )

    cut = run()
    assert [line.split() for line in cut.stdout.splitlines()] == [["TYPE", "WAITING"], ["t", "2+"]]
    assert "--exact" in cut.stderr
    lines = [json.loads(line) for line in run("--json").stdout.splitlines()]
    assert lines[-1] == {"type": "t", "status": "new", "count": 2, "is_more": True}
    assert all(line["is_more"] for line in lines)
    exact = run("--exact", "--json")
    assert json.loads(exact.stdout) == {"type": "t", "status": "new", "count": 3}
    assert exact.stderr == ""
