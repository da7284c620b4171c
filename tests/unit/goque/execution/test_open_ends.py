"""What a failed handler holds is let go at once, and not by a later garbage collection."""

from __future__ import annotations

import gc
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from goque.execution.open_ends import let_go


class Open:
    """Something that a handler has open, such as a connection with its transaction."""


opened: list[weakref.ref[Open]] = []


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    opened.clear()
    gc.disable()
    yield
    gc.enable()


def fail() -> None:
    here = Open()
    opened.append(weakref.ref(here))
    raise ValueError("here")


def in_a_circle() -> None:
    here = Open()
    opened.append(weakref.ref(here))
    try:
        fail()
    except ValueError as error:
        kept = error
        raise kept from None


def chained() -> None:
    try:
        fail()
    except ValueError as error:
        raise KeyError("there") from error


def after_another() -> None:
    try:
        fail()
    except ValueError:
        raise KeyError("there")  # noqa: B904 - without a cause, as careless code has it


def grouped() -> None:
    errors: list[Exception] = []
    for _ in range(2):
        try:
            fail()
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("both", errors)


@pytest.mark.parametrize("handler", [fail, in_a_circle, chained, after_another, grouped])
def test_frames_let_go_of_what_they_hold(handler: Callable[[], None]) -> None:
    caught: BaseException | None = None
    try:
        handler()
    except BaseException as error:  # noqa: BLE001 - kept, as a worker keeps it for its hooks
        caught = error
    assert any(ref() for ref in opened)
    let_go(caught)
    assert [ref() for ref in opened if ref() is not None] == []


def test_a_connection_of_sqlite_is_closed_where_garbage_is_collected(tmp_path: Path) -> None:
    def handler() -> None:
        connection = sqlite3.connect(tmp_path / "tasks.db")
        connection.execute("CREATE TABLE paid (amount INTEGER)")
        connection.execute("INSERT INTO paid VALUES (1)")
        raise ValueError("and the transaction is open")

    caught: BaseException | None = None
    try:
        handler()
    except ValueError as error:
        caught = error
    with closing(sqlite3.connect(tmp_path / "tasks.db", timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DROP TABLE paid")
        let_go(caught, collects=True)
        other.execute("DROP TABLE paid")


def test_nothing_is_let_go_of_without_an_error() -> None:
    let_go(None, collects=True)
