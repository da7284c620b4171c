"""When a fetcher has a second thread and a second connection for its claims."""

from __future__ import annotations

import contextvars
import logging
from typing import Any, cast

import pytest

from goque.errors import DatabaseUnavailableError
from goque_supervisor.fetcher.claim_thread import KEPT, RETRY_PAUSE, ClaimThread


class Database:
    """A database that opens a second connection, or does not, as a test says."""

    def __init__(self, *, has_use: bool = True, is_full: bool = False) -> None:
        self.has_use = has_use
        self.is_full = is_full
        self.asked = 0
        self.is_open = False

    def open_second_connection(self) -> bool:
        self.asked += 1
        if self.is_full:
            raise DatabaseUnavailableError("it has no free connection")
        self.is_open = self.has_use
        return self.has_use

    def close_second_connection(self) -> None:
        self.is_open = False


def thread_of(database: Database) -> ClaimThread:
    return ClaimThread(cast("Any", database))


def test_it_runs_a_call_beside_the_caller_and_hands_over_what_comes_of_it() -> None:
    thread = thread_of(Database())
    assert thread.is_ready(1.0)
    assert thread.start(lambda: "tasks").result(30) == "tasks"
    assert isinstance(thread.start(lambda: 1 / 0).exception(30), ZeroDivisionError)


def test_a_server_that_refuses_the_connection_is_asked_again_later_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database(is_full=True)
    thread = thread_of(database)
    with caplog.at_level(logging.INFO):
        assert not any(thread.is_ready(at) for at in (1.0, 2.0, RETRY_PAUSE, 1.0 + RETRY_PAUSE))
    assert database.asked == 2
    assert [record.getMessage() for record in caplog.records] == [
        "this fetcher claims and settles in turns, without a second connection: it has no free connection"
    ]
    database.is_full = False
    assert thread.is_ready(1.0 + 2 * RETRY_PAUSE)


def test_a_database_with_one_writer_is_not_asked_at_each_settlement() -> None:
    database = Database(has_use=False)
    thread = thread_of(database)
    assert not any(thread.is_ready(at) for at in (1.0, 2.0))
    assert database.asked == 1


def test_a_claim_is_made_in_the_context_of_the_caller() -> None:
    variable = contextvars.ContextVar("variable", default="of the thread")
    thread = thread_of(Database())
    assert thread.is_ready(1.0)
    variable.set("of the caller")
    assert thread.start(variable.get).result(30) == "of the caller"


def test_after_a_failed_claim_there_is_none_for_a_while() -> None:
    database = Database()
    thread = thread_of(database)
    thread.rest(1.0)
    assert not thread.is_ready(RETRY_PAUSE)
    assert thread.is_ready(1.0 + RETRY_PAUSE)


def test_the_connection_is_closed_when_it_was_not_used_for_a_while() -> None:
    database = Database()
    thread = thread_of(database)
    thread.is_ready(1.0)
    thread.close_if_unused(1.0 + KEPT)
    assert database.is_open
    thread.close_if_unused(1.1 + KEPT)
    assert not database.is_open
