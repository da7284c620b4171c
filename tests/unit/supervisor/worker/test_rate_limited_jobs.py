"""What a worker does with jobs that its fetcher sent before it heard that a service refused one of the type."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.messages import Job, Jobs
from goque_supervisor.worker.questions import Questions
from goque_supervisor.worker.worker import Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(seq: int, task_type: str, key: str | None = None) -> Job:
    row = TaskRow(f"id-{seq}", task_type, f"x-{seq}", b"{}", "pending", 0, None, None, NOW, None, NOW)
    row.limit_key = key
    return Job(seq, row)


def worker_that_receives(*sent: Jobs) -> Any:
    """Make a worker without its process: its socket gives these messages, one for each call."""
    worker = Worker.__new__(Worker)
    worker.box, worker.channel, worker.socket = Mock(), Mock(closed=False), Mock()
    worker.channel.receive.return_value = []
    worker.socket.receive.side_effect = [[messages.encode(message)] for message in sent]
    worker.jobs, worker.results, worker.retiring, worker._refused = deque(), [], "", {}
    worker._stalls, worker.questions = {}, Questions(worker.socket)
    return worker


def test_jobs_that_crossed_the_refusal_are_given_back_until_the_fetcher_has_written_it() -> None:
    worker = worker_that_receives(
        Jobs([job(2, "call"), job(3, "other")], []),
        Jobs([job(4, "call")], [1]),
    )
    worker.finish(job(1, "call"), Outcome(OutcomeKind.RATE_LIMITED, delay=60.0))
    worker.receive()
    assert [one.seq for one in worker.jobs] == [3]
    given_back = [one.seq for one in worker.results if one.outcome.kind is OutcomeKind.UNSTARTED]
    assert given_back == [2]
    worker.receive()
    assert [one.seq for one in worker.jobs] == [3, 4]


def test_a_refusal_of_a_key_lets_the_jobs_of_other_keys_start() -> None:
    worker = worker_that_receives(Jobs([job(2, "call", "acme"), job(3, "call", "umbrella")], []))
    worker.finish(job(1, "call", "acme"), Outcome(OutcomeKind.RATE_LIMITED, delay=60.0))
    worker.receive()
    assert [one.seq for one in worker.jobs] == [3]
