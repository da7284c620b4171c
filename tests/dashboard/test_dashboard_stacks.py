"""The stack of a running task on the dashboard: a button on the task's page, and a page of its own."""

from __future__ import annotations

from dashboards import add, on_every_backend, text_of
from stack_node import answering, begin

UNKNOWN = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


@on_every_backend
def test_a_running_task_shows_its_stack(dashboard, storage, backend):
    row = begin(storage)
    assert (
        f'<a class="button" data-dialog href="/tasks/{row.id}/stack"'
        in dashboard.get(f"/tasks/{row.id}").text
    )
    with answering(backend.url) as asked:
        answer = dashboard.get(f"/tasks/{row.id}/stack")
    assert asked == [row.id]
    assert answer.status_code == 200
    told = text_of(answer)
    assert "Type resize Attempt 1 Running for 12 s Step page-3 Host web-1 Worker pid 4711" in told
    assert "The stack of its thread most recent call last" in told
    assert "File &#34;/srv/app/tasks.py&#34;, line 12, in resize image = load(path)" in told
    assert "<b>evil" not in answer.text
    assert "\x1b" not in answer.text
    assert 'id="confirm"' in answer.text, "the dialog shows this part of the page"


def test_who_may_only_look_may_look_at_stacks(storage, backend, open_dashboard):
    row = begin(storage)
    dashboard = open_dashboard(backend.url, actions=False)
    told = dashboard.get(f"/tasks/{row.id}").text
    assert f"/tasks/{row.id}/stack" in told
    assert "/do/cancel" not in told
    with answering(backend.url):
        assert dashboard.get(f"/tasks/{row.id}/stack").status_code == 200


def test_a_task_that_does_not_run_has_no_button_and_no_stack(dashboard, storage):
    task = add(storage)
    assert "/stack" not in dashboard.get(f"/tasks/{task.id}").text
    answer = dashboard.get(f"/tasks/{task.id}/stack")
    assert answer.status_code == 409
    assert f"Task {task.id} does not run: it is waiting (new)." in text_of(answer)
    for unknown in (UNKNOWN, "nonsense", "%27;drop"):
        assert dashboard.get(f"/tasks/{unknown}/stack").status_code == 404
