"""Who did what is in the log of a `goque dashboard` without further options, and no client can forge it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from dashboard_process import DashboardProcess, running_dashboard
from dashboards import add
from eventually import eventually

FORM = "application/x-www-form-urlencoded"


def cancel(dashboard: DashboardProcess, task_id: str, **headers: str) -> None:
    path = "/do/cancel"
    asked = dashboard.ask(f"{path}?id={task_id}", **headers)
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', asked.text))
    cookie = asked.headers["set-cookie"].partition(";")[0]
    done = dashboard.ask(path, "POST", urlencode(fields), Cookie=cookie, Content_Type=FORM, **headers)
    assert done.status == 303, done.text


def test_an_action_is_logged_by_default_with_the_address_that_it_came_from(storage, backend, tmp_path: Path):
    task = add(storage)
    with running_dashboard(tmp_path, backend.url) as dashboard:
        cancel(dashboard, task.id, X_Forwarded_For="203.0.113.7")
        line = eventually(lambda: [line for line in dashboard.log.splitlines() if task.id in line])[0]
    assert f"127.0.0.1: canceled task {task.id} viewer=127.0.0.1 client=127.0.0.1" in line
    assert "203.0.113.7" not in dashboard.log


def test_behind_a_proxy_the_line_has_the_user_and_the_address_that_the_proxy_names(
    storage, backend, tmp_path: Path
):
    task = add(storage)
    options = ("--user-header", "X-User", "--hosts", "Queue.example")
    with running_dashboard(tmp_path, backend.url, *options) as dashboard:
        cancel(dashboard, task.id, X_User="ada", X_Forwarded_For="203.0.113.7", Host="queue.example")
        eventually(lambda: f"ada: canceled task {task.id} viewer=ada client=203.0.113.7" in dashboard.log)


@pytest.mark.parametrize(
    "case",
    [
        ((), "evil.example", 421),
        (("--user-header", "X-User"), "evil.example", 421),
        (("--user-header", "X-User"), "localhost", 200),
        (("--user-header", "X-User", "--hosts", "queue.example,other.example"), "other.example", 200),
        (("--user-header", "X-User", "--hosts", "queue.example"), "evil.example", 421),
        (("--host", "0.0.0.0", "--hosts", "queue.example"), "evil.example", 421),
    ],
)
def test_a_page_that_points_its_own_name_here_gets_no_answer(
    storage, backend, tmp_path: Path, case: tuple[tuple[str, ...], str, int]
):
    options, host, status = case
    task = add(storage, external_id="order-7")
    with running_dashboard(tmp_path, backend.url, *options) as dashboard:
        answer = dashboard.ask("/tasks", Host=host, X_User="ada")
    assert answer.status == status
    for told in (backend.url, task.id, "order-7"):
        assert (told in answer.text) is (status == 200)
