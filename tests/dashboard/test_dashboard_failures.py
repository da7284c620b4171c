"""The pages of groups of failures, and what people do with a group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from dashboards import HOSTILE, add, do, on_every_backend, status_of, text_of
from eventually import eventually

from goque.dashboard.failures.course import WINDOWS, course_by_attempts, course_by_hours
from goque.outcome import Outcome, OutcomeKind, settle
from goque.retry import static
from goque.storage.contract import GroupAttempt
from goque.task_rules.retry_policy import RetryPolicy

NOON = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
ONCE = RetryPolicy(max_attempts=1)
AGAIN = RetryPolicy(max_attempts=5, strategy=static(3600))


def fail(storage, error="KeyError: 'user'", *, policy=ONCE, version=None, task_type="mail", code="call()"):
    task = add(storage, task_type)
    [row] = storage.claim_due(task_type, "node-1", 1)
    text = f'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in run\n    {code}\n{error}\n'
    change = settle(Outcome(OutcomeKind.FAILED, error, text), row, policy, version)
    assert storage.settle_if_held([change])
    return task, change.group.id


@on_every_backend
def test_groups_are_listed_with_what_failed(dashboard, storage):
    for version in ("1.0", "1.1"):
        _task, group = fail(storage, version=version)
    fail(storage, "ValueError: x", task_type="sms")
    answer = dashboard.get("/failures")
    told = text_of(answer)
    assert "2 mail KeyError app.py in run: call() KeyError: 'user' mail 1.0 to 1.1" in told.replace(
        "&#39;", "'"
    )
    assert f'href="/failures/{group}"' in answer.text
    only = text_of(dashboard.get("/failures?type=sms"))
    assert "ValueError" in only
    assert "KeyError" not in only
    assert "Show all types" in only


def test_without_failures_the_list_says_so(dashboard):
    assert "No failed attempt is on record." in text_of(dashboard.get("/failures"))
    assert "on record for mail" in text_of(dashboard.get("/failures?type=mail"))


@on_every_backend
@pytest.mark.parametrize("window", WINDOWS)
def test_the_page_of_a_group_has_its_course_its_tasks_and_its_attempts(dashboard, storage, window):
    task, group = fail(storage, version="1.0")
    waiting, _ = fail(storage, version="1.1", policy=AGAIN)
    other, _ = fail(storage, "ValueError: x")
    answer = dashboard.get(f"/failures/{group}?window={window}")
    told = text_of(answer)
    assert answer.status_code == 200
    assert "2 failed app.py in run: call()" in told
    assert "First version 1.0 Last version 1.1" in told
    assert answer.text.count('<rect class="failed unfinished"') == 1
    tasks = answer.text[answer.text.index("Open tasks") :]
    assert f'id="t-{task.id}"' in tasks
    assert f'id="t-{waiting.id}"' in tasks
    assert other.id not in answer.text
    assert tasks.index(f"…{waiting.id[-8:]}") < tasks.index(f"…{task.id[-8:]}")


def test_an_unknown_group_and_an_unknown_window_are_told(dashboard, storage):
    assert dashboard.get("/failures/none").status_code == 404
    _task, group = fail(storage)
    assert dashboard.get(f"/failures/{group}?window=9y").status_code == 400
    for action in ("reset-group", "cancel-group"):
        assert dashboard.get(f"/do/{action}?group=none").status_code == 404
        assert dashboard.get(f"/do/{action}").status_code == 400


@on_every_backend
def test_the_open_tasks_of_a_group_are_reset(dashboard, storage):
    failed, group = fail(storage)
    waiting, _ = fail(storage, policy=AGAIN)
    other, _ = fail(storage, "ValueError: x")
    answer = do(dashboard, f"/do/reset-group?group={group}", per_second="1")
    assert answer.headers["location"] == f"/failures/{group}"
    eventually(lambda: status_of(storage, waiting) == status_of(storage, failed) == "new")
    due = [storage.get_task(task.id).next_attempt_at for task in (failed, waiting)]
    assert timedelta(0) < due[1] - due[0] <= timedelta(seconds=1)
    assert status_of(storage, other) == "attempts_left"
    eventually(lambda: "2 moved: finished" in text_of(dashboard.get(f"/failures/{group}")))
    assert (
        "Open tasks they wait for a retry or have no attempt left, and their last failure is of this group None."
        in (text_of(dashboard.get(f"/failures/{group}")))
    )


@on_every_backend
def test_the_waiting_tasks_of_a_group_are_canceled(dashboard, storage):
    failed, group = fail(storage)
    waiting, _ = fail(storage, policy=AGAIN)
    do(dashboard, f"/do/cancel-group?group={group}")
    eventually(lambda: status_of(storage, waiting) == "canceled")
    eventually(lambda: "1 moved, 1 left as they were" in text_of(dashboard.get(f"/failures/{group}")))
    assert status_of(storage, failed) == "attempts_left"


@pytest.mark.parametrize("rate", ["0", "-1", "1.5", "many", "1" * 30, "²"])
def test_a_wrong_rate_is_told_and_nothing_is_changed(dashboard, storage, rate):
    task, group = fail(storage)
    answer = do(dashboard, f"/do/reset-group?group={group}", per_second=rate)
    assert answer.status_code == 400
    assert "whole number from 1 to 1,000,000" in text_of(answer)
    assert status_of(storage, task) == "attempts_left"


def test_who_may_not_act_sees_no_buttons(storage, backend, open_dashboard):
    _task, group = fail(storage)
    client = open_dashboard(backend.url, actions=False)
    assert "/do/" not in client.get(f"/failures/{group}").text
    assert client.get(f"/do/reset-group?group={group}").status_code == 403


def test_other_pages_link_a_group(dashboard, storage):
    task, group = fail(storage, version="1.0 beta")
    shown = dashboard.get(f"/tasks/{task.id}")
    assert f'href="/failures/{group}"' in shown.text
    assert "Version 1.0 beta" in text_of(shown)
    eventually(lambda: f'href="/failures/{group}"' in dashboard.get("/").text)
    listed = dashboard.get(f"/tasks?failure={group}")
    assert task.id in listed.text
    assert f'<input type="hidden" name="failure" value="{group}">' in listed.text
    assert task.id not in dashboard.get("/tasks?failure=other").text


def test_groups_with_the_same_error_are_told_apart_by_their_lines_of_code(dashboard, storage):
    for code in ("users[name]", "orders[name]"):
        fail(storage, code=code)

    def tells_them_apart(path):
        shown = text_of(dashboard.get(path))
        return "app.py in run: users[name]" in shown and "app.py in run: orders[name]" in shown

    for path in ("/", "/types/type?name=mail"):
        eventually(lambda path=path: tells_them_apart(path))


def test_texts_of_others_are_escaped(dashboard, storage):
    _task, group = fail(storage, f"KeyError: {HOSTILE}", version=HOSTILE, task_type=HOSTILE, code=HOSTILE)
    eventually(lambda: f'href="/failures/{group}"' in dashboard.get("/").text)
    for path in ("/", "/failures", f"/failures/{group}"):
        text = dashboard.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text


def test_the_course_sums_hours_up_to_bars():
    hours = [(NOON.replace(hour=hour, minute=0, second=0), 2) for hour in (6, 7, 11, 12)]
    day = course_by_hours(hours, WINDOWS["24h"], NOON)
    assert [slot.title for slot in day.slots][-2:] == ["11:00 UTC: 2", "12:00 UTC: 2"]
    assert (len(day.slots), day.times[0], day.times[-1]) == (24, "13:00", "now")
    week = course_by_hours(hours, WINDOWS["7d"], NOON)
    assert [slot.title for slot in week.slots][-2:] == ["Nov 23 06:00 UTC: 6", "Nov 23 12:00 UTC: 2"]
    assert (len(week.slots), week.times[0]) == (28, "Nov 16 18:00")
    assert course_by_hours([], WINDOWS["24h"], NOON).is_empty


def test_the_last_hour_is_known_as_far_as_the_attempts_go_back():
    def attempts(*minutes):
        return [GroupAttempt(1, "id", 1, "x", NOON - timedelta(minutes=ago), None, None) for ago in minutes]

    whole = course_by_attempts(attempts(0, 1, 1, 90), WINDOWS["1h"], NOON, is_cut=False)
    assert [slot.title for slot in whole.slots][-2:] == ["11:59 UTC: 2", "12:00 UTC: 1"]
    assert whole.unknown == ""
    cut = course_by_attempts(attempts(0, 1, 30), WINDOWS["1h"], NOON, is_cut=True)
    assert cut.slots[0].title == "11:01 UTC: not known"
    assert cut.unknown != ""
