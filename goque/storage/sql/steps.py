"""Statements in their order, written once for synchronous and asyncio sessions.

Steps are a generator. It yields a request for each statement, is sent the session's answer, and returns the result.
`run_steps` sends the answers of a synchronous session. `await_steps` sends those of an asyncio session.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from operator import attrgetter, methodcaller
from typing import Any, Final, TypeVar

from goque.storage.sql.asyncio_session import AsyncSession
from goque.storage.sql.session import Session
from goque.storage.sql.statements.complete import Statements

ResultT = TypeVar("ResultT")

Request = Callable[[Any], Any]
"""What to ask a session; an asyncio session answers with an awaitable."""

Steps = Generator[Request, Any, ResultT]

NOW: Final[Request] = attrgetter("now")
"""Ask for the database's clock."""


def rows(sql: str, params: Mapping[str, Any] | None = None) -> Request:
    """Ask for all rows of a statement."""
    return methodcaller("rows", sql, params)


def run(sql: str, params: Mapping[str, Any] | None = None) -> Request:
    """Ask how many rows a statement changed."""
    return methodcaller("run", sql, params)


def run_many(sql: str, params: Iterable[Mapping[str, Any]]) -> Request:
    """Ask how many rows a statement changed that runs once for each set of parameters."""
    return methodcaller("run_many", sql, params)


def outside(call: Callable[[], Any]) -> Request:
    """Ask for what a blocking call returns, which uses another connection; an asyncio session calls it in a thread."""
    return methodcaller("outside", call)


def one(request: Request) -> Steps[Any]:
    """Make steps of a single request."""
    answer = yield request
    return answer


def in_savepoint(
    sql: Statements, inner: Steps[ResultT], *, undo_if: Callable[[Exception], bool]
) -> Steps[ResultT]:
    """Run steps in a savepoint. An error for which `undo_if` is true takes back what they did, and is raised again."""
    yield run(sql.savepoint)
    try:
        result = yield from inner
    except Exception as error:
        if undo_if(error):
            yield run(sql.rollback_savepoint)
            yield run(sql.release_savepoint)
        raise
    yield run(sql.release_savepoint)
    return result


def run_steps(session: Session, steps: Steps[ResultT]) -> ResultT:
    """Run steps on a synchronous session and return their result."""
    try:
        request = next(steps)
        while True:
            try:
                answer = request(session)
            except BaseException as error:  # noqa: BLE001 - the steps may handle it, and else raise it again
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        result: ResultT = end.value
        return result


async def await_steps(session: AsyncSession, steps: Steps[ResultT]) -> ResultT:
    """Run steps on an asyncio session and return their result."""
    try:
        request = next(steps)
        while True:
            try:
                answer = await request(session)
            except BaseException as error:  # noqa: BLE001 - the same
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        result: ResultT = end.value
        return result
