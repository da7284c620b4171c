"""Rows of tasks for tests that need no database."""

from __future__ import annotations

from datetime import UTC, datetime

from goque.task_row import TaskRow

NOW = datetime(2026, 11, 23, 21, 2, 33, 123456, tzinfo=UTC)


def row(**fields: object) -> TaskRow:
    known = {
        "id": "019ab5a0-7c3e-7d5e-8f00-0123456789ab",
        "type": "mail",
        "external_id": "order-7",
        "payload": b'{"to":"a@b.c"}',
        "status": "new",
        "attempts": 0,
        "errors": None,
        "metadata": None,
        "created_at": NOW,
        "updated_at": None,
        "next_attempt_at": NOW,
    }
    return TaskRow(**{**known, **fields})
