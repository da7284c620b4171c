"""A start that finds the database held by another writer."""

from __future__ import annotations

import pytest

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage.sql.session import DatabaseLockedError
from goque_supervisor.ipc.control import DatabaseAway, DatabaseBack, Message
from goque_supervisor.wait_for_database import wait_for_database


def ignore(_: Message) -> None:
    pass


class Start:
    """Fails with each of these errors in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


def test_it_is_made_again_until_the_lock_is_gone_and_says_once_that_it_waits() -> None:
    start, sent = Start(DatabaseLockedError("held"), DatabaseLockedError("held")), list[Message]()
    assert wait_for_database(start, lambda _: True, sent.append)
    assert start.tries == 3
    assert sent == [DatabaseAway("waiting up to 10s for the database: held"), DatabaseBack()]


def test_without_a_lock_nothing_is_said() -> None:
    sent: list[Message] = []
    assert wait_for_database(Start(), lambda _: True, sent.append)
    assert not sent


def test_when_patience_is_at_its_end_the_error_comes_out() -> None:
    start = Start(DatabaseLockedError("held"))
    with pytest.raises(DatabaseLockedError):
        wait_for_database(start, lambda _: True, ignore, patience=0.0)
    assert start.tries == 1


def test_a_word_from_the_root_ends_the_waiting() -> None:
    start = Start(*[DatabaseLockedError("held")] * 5)
    assert not wait_for_database(start, lambda _: start.tries < 2, ignore)
    assert start.tries == 2


def test_a_database_that_is_not_there_is_not_waited_for() -> None:
    start = Start(DatabaseUnavailableError("gone"))
    with pytest.raises(DatabaseUnavailableError, match="gone"):
        wait_for_database(start, lambda _: True, ignore)
    assert start.tries == 1


def test_in_a_tree_that_is_up_a_database_that_is_away_is_waited_for_without_end() -> None:
    start = Start(
        DatabaseUnavailableError("gone"), DatabaseLockedError("held"), DatabaseUnavailableError("gone")
    )
    assert wait_for_database(start, lambda _: True, ignore, patience=0.0, node_is_up=True)
    assert start.tries == 4


def test_a_schema_that_is_missing_is_not_waited_for() -> None:
    start = Start(SchemaError("missing"))
    with pytest.raises(SchemaError):
        wait_for_database(start, lambda _: True, ignore, node_is_up=True)
