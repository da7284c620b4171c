"""Enqueues tasks for objects of SQLAlchemy's ORM, in the session's transaction.

`queue.enqueue(…, conn=session)` works without this module. Use the module for tasks that need ids from the database,
which exist after the flush, and for tasks at each write of a mapped class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.util import await_only

from goque.errors import ConfigurationError
from goque.queue.async_manager import AsyncTaskQueueManager
from goque.queue.manager import TaskQueueManager
from goque.queue.manager_base import ManagerBase
from goque.queue.manager_storage import same_queue
from goque.storage.sql.caller_connection import is_asyncio, unwrap_connection
from goque.storage.sql.migrate import TABLES
from goque.task import Task

EntityT = TypeVar("EntityT")
MakeTask = Callable[[], Task | None]

WAITING: Final = "goque_waiting"
"""The key in `Session.info` of the tasks to make at the next flush."""


OWN_TABLES: Final = frozenset({*TABLES, "goque_migration", "goose_db_version"})
"""The tables that `goque migrate` makes, and the ledger of the Go library's migrations."""


def include_name(name: str | None, type_: str, parent_names: object) -> bool:
    """Keep goque's tables out of Alembic's autogenerate, which else drops them; give it as `include_name` in env.py.

    If you have a function of your own, call both: `include_name=lambda *args: mine(*args) and include_name(*args)`.

    Args:
        name: what Alembic found in the database.
        type_: what it is: "table", "schema", "column", "index" and others.
        parent_names: the names of its table and schema, which do not matter.
    """
    del parent_names
    return type_ != "table" or name not in OWN_TABLES


def enqueue_after_flush(
    session: Session | AsyncSession | scoped_session[Any], queue: ManagerBase, make_task: MakeTask
) -> None:
    """Make and enqueue a task at the session's next flush or commit, in its transaction.

    The task belongs to the transaction or savepoint (`begin_nested`) of this call. A flush there enqueues it, and a
    rollback there discards it.

    Args:
        session: a Session, a scoped_session, or an AsyncSession.
        queue: the manager, of either kind, for the session's database.
        make_task: called after the flush, when objects have ids; returns the task, or None for no task.

    Raises:
        ConfigurationError: `make_task` cannot be called. The flush raises what `add_task` would.
    """
    if not callable(make_task):
        raise ConfigurationError(f"make_task must be a function that makes a Task, not {make_task!r:.80}")
    plain = _plain(session)
    if WAITING not in plain.info:
        plain.info[WAITING] = []
        event.listen(plain, "after_flush_postexec", _after_flush)
        event.listen(plain, "before_commit", _before_commit)
        event.listen(plain, "after_soft_rollback", _after_rollback)
    plain.info[WAITING].append((_transaction(plain), queue, make_task))


def enqueue_after(
    entity: type[EntityT], happened: Literal["insert", "update", "delete"], queue: ManagerBase
) -> Callable[[Callable[[EntityT], Task | None]], Callable[[EntityT], Task | None]]:
    """Enqueue a task at each insert, update or delete of a mapped class, in the same transaction.

    The decorated function gets the object after the statement, and returns the task, or None for no task:

        @enqueue_after(Order, "insert", registry.queue)
        def confirm(order: Order) -> goque.Task:
            return goque.Task("send_receipt", {"order": order.id}, external_id=f"order-{order.id}")

    Statements outside the ORM's unit of work, such as `update(Order)`, enqueue nothing.

    Args:
        entity: the mapped class; its subclasses count too.
        happened: "insert", "update" or "delete".
        queue: the manager, of either kind, for its database.

    Raises:
        ConfigurationError: `happened` is something else. The flush raises what `add_task` would.
    """
    if happened not in ("insert", "update", "delete"):
        raise ConfigurationError(f"happened must be 'insert', 'update' or 'delete', not {happened!r:.80}")

    def register(make_task: Callable[[EntityT], Task | None]) -> Callable[[EntityT], Task | None]:
        def follow(mapper: object, connection: Connection, target: EntityT) -> None:
            del mapper
            if (task := make_task(target)) is not None:
                _add([task], queue, connection)

        event.listen(entity, f"after_{happened}", follow, propagate=True)
        return make_task

    return register


def _after_flush(session: Session, flush_context: object) -> None:
    del flush_context
    _enqueue_waiting(session)


def _before_commit(session: Session) -> None:
    if session.info[WAITING]:
        session.flush()
        _enqueue_waiting(session)  # if there was nothing to flush


def _after_rollback(session: Session, rolled_back: SessionTransaction) -> None:
    session.info[WAITING] = [one for one in session.info[WAITING] if not _is_within(one[0], rolled_back)]


def _enqueue_waiting(session: Session) -> None:
    current, waiting = _transaction(session), session.info[WAITING]
    now = [
        one for one in waiting if one[0] is current
    ]  # a rollback of a savepoint discards only its own tasks
    session.info[WAITING] = [one for one in waiting if one[0] is not current]
    for _within, queue, make_task in now:
        if (task := make_task()) is not None:
            _add([task], queue, session.connection())


def _transaction(session: Session) -> SessionTransaction:
    """Return the innermost savepoint, or else the transaction, which is started if necessary."""
    return session.get_nested_transaction() or session.get_transaction() or session.begin()


def _is_within(transaction: SessionTransaction | None, other: SessionTransaction) -> bool:
    while transaction is not None and transaction is not other:
        transaction = transaction.parent
    return transaction is not None


def _add(tasks: list[Task], queue: ManagerBase, connection: Connection) -> None:
    """Insert tasks on a connection. If its driver is asyncio's, SQLAlchemy's greenlet awaits the insert."""
    below: Any = connection.connection.driver_connection
    if is_asyncio(below):
        await_only(same_queue(queue, AsyncTaskQueueManager).add_tasks(tasks, conn=below))
        return
    same_queue(queue, TaskQueueManager).add_tasks(tasks, conn=unwrap_connection(connection))


def _plain(session: Any) -> Session:
    if isinstance(session, AsyncSession):
        return session.sync_session
    found = session() if isinstance(session, scoped_session) else session
    if not isinstance(found, Session):
        raise ConfigurationError(f"session must be a Session or an AsyncSession, not {session!r:.80}")
    return found
