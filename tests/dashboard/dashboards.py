"""What the tests of the dashboard share: tasks in every state, and the forms of its pages."""

from __future__ import annotations

import re
from typing import Any, Protocol

import pytest
from backends import BACKENDS
from starlette.testclient import TestClient

from goque import Task
from goque.outcome import Change
from goque.storage.contract import TypePolicy
from goque.task_rules.failed_attempt import FailedAttempt

on_every_backend = pytest.mark.parametrize("backend_name", sorted(BACKENDS))

HOSTILE = (
    "'; DROP TABLE goque_task; -- <script>alert(1)</script><img src=x onerror=alert(2)> \" &amp; \u202eevil"
)


def add(storage, task_type="mail", **options):
    return storage.insert_tasks([Task(task_type, options.pop("payload", {"n": 1}), **options)])[0]


def settle(storage, status, *, error=None, task_type="mail", **facts):
    [row] = storage.claim_due(task_type, "node-1", 1)
    failed = None
    if error is not None:
        failed = FailedAttempt(
            attempt=row.attempts + 1, cause=facts.pop("cause", "failed"), error=error, **facts
        )
    change = Change(
        row.token,
        status,
        row.attempts + (error is not None),
        errors=f"attempt 1: {error}\n" if error is not None else None,
        delay=60.0 if error is not None else None,
        failed=failed,
    )
    assert storage.settle_if_held([change], node="node-1")
    return row


def publish(storage, *types):
    storage.publish_types([TypePolicy(name, 5, None, None, 10800.0, 604800.0, 3600.0) for name in types])


def text_of(answer):
    """Return what a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def form_of(client, path):
    """Return the hidden fields of a confirmation."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', answer.text))


def do(client, path, **changes) -> Any:
    """Ask for a confirmation and confirm it."""
    fields = form_of(client, path) | changes
    fields = {name: value.replace("&amp;", "&").replace("&#34;", '"') for name, value in fields.items()}
    return client.post(path.partition("?")[0], data=fields)


def status_of(storage, task):
    return storage.get_task(task.id).status


class OpenDashboard(Protocol):
    def __call__(self, source: Any, **options: Any) -> TestClient: ...
