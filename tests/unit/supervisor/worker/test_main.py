"""The constants that a worker shares with modules that it must not import."""

from __future__ import annotations

from goque.queue import async_manager
from goque_supervisor.worker import main


def test_the_threads_of_async_queue_are_known_by_their_name() -> None:
    assert main.ASYNC_QUEUE_THREADS == async_manager.THREAD_NAME
