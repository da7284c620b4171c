"""Tests of Django projects that commit: goque's tables are emptied, as Django empties those of models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

from goque.contrib.django import registry
from goque.contrib.django.databases import database_alias
from goque.storage.sql.migrate import TABLES

if TYPE_CHECKING:
    from goque.queue.manager import TaskQueueManager


class EmptyQueueMixin:
    """Put it before `TransactionTestCase`: each test begins without tasks, and leaves none.

    Django's flush knows tables of models only, and goque's tables have no models.
    """

    def run(self, result: Any = None) -> Any:
        """Run the test between two deletions."""
        with empty_queue():
            return super().run(result)  # type: ignore[misc]  # of unittest.TestCase


@contextmanager
def empty_queue() -> Iterator[TaskQueueManager]:
    """Delete all rows of goque from the project's database, before the block and after it; yields the queue."""
    delete_rows()
    try:
        yield registry.queue
    finally:
        delete_rows()


def delete_rows() -> None:
    """Delete all tasks, and what goque has noted of attempts, schedules, nodes and types."""
    connection = connections[database_alias()]
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from the list above
