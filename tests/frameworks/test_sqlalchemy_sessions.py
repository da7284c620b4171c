"""Tasks that follow the rows of SQLAlchemy sessions, in their transactions, synchronous and asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

import goque
from goque import ConfigurationError, DuplicateTaskError, Task
from goque.contrib.sqlalchemy import OWN_TABLES, enqueue_after, enqueue_after_flush, include_name
from goque.queue.manager_storage import storage_of


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


@pytest.fixture
def queue(tmp_path: Path):
    with goque.TaskQueueManager(f"sqlite:///{tmp_path}/shop.db") as made:
        made.ping()
        yield made


@pytest.fixture
def engine(tmp_path: Path, queue):
    made = create_engine(f"sqlite:///{tmp_path}/shop.db")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def asyncio_url(tmp_path: Path, engine) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/shop.db"


def confirming(order: Order):
    return lambda: Task("confirm", {"order": order.id})


def payloads(queue) -> list:
    return sorted(task.payload["order"] for task in queue.get_tasks())


def test_a_task_is_made_when_its_row_has_an_id(engine, queue):
    with Session(engine) as session, session.begin():
        order = Order(item="book")
        session.add(order)
        enqueue_after_flush(session, queue, confirming(order))
        assert order.id is None
        session.flush()
        assert queue.get_tasks(conn=session)[0].payload == {"order": order.id}
        session.flush()
    assert payloads(queue) == [1]


def test_a_commit_makes_it_too_also_where_nothing_is_to_be_flushed(engine, queue):
    with Session(engine) as session:
        order = Order(item="book")
        session.add(order)
        enqueue_after_flush(session, queue, confirming(order))
        session.commit()
        enqueue_after_flush(session, queue, lambda: Task("confirm", {"order": 99}))
        enqueue_after_flush(session, queue, lambda: None)
        session.commit()
        session.commit()
    assert payloads(queue) == [1, 99]


def test_a_rollback_takes_it_along_made_or_not(engine, queue):
    with Session(engine) as session:
        for flushed in (True, False):
            order = Order(item="book")
            session.add(order)
            enqueue_after_flush(session, queue, confirming(order))
            if flushed:
                session.flush()
            session.rollback()
        session.add(Order(item="pen"))
        session.commit()
    assert payloads(queue) == []


@pytest.fixture
def with_savepoints(engine):
    """Let pysqlite begin when SQLAlchemy does, as its page on savepoints says."""

    @event.listens_for(engine, "connect")
    def leave_alone(connection, record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN")

    return engine


def test_a_savepoint_takes_along_what_was_asked_for_in_it_and_no_more(with_savepoints, queue):
    with Session(with_savepoints) as session, session.begin():
        enqueue_after_flush(session, queue, lambda: Task("confirm", {"order": 10}))
        for number, flushed in ((11, True), (12, False)):
            inner = session.begin_nested()
            enqueue_after_flush(session, queue, lambda number=number: Task("confirm", {"order": number}))
            if flushed:
                session.add(Order(item="pen"))
                session.flush()
            inner.rollback()
        with session.begin_nested():
            enqueue_after_flush(session, queue, lambda: Task("confirm", {"order": 13}))
    assert payloads(queue) == [10, 13]


def test_an_asyncio_session_does_the_same_with_either_manager(asyncio_url, queue):
    async def place(manager, *, fails: bool) -> None:
        engine = create_async_engine(asyncio_url)
        async with AsyncSession(engine) as session:
            order = Order(item="book")
            session.add(order)
            enqueue_after_flush(session, manager, confirming(order))
            await session.flush()
            if fails:
                await session.rollback()
            else:
                await session.commit()
        await engine.dispose()

    awaited = goque.AsyncTaskQueueManager(storage_of(queue))
    asyncio.run(place(queue, fails=False))
    asyncio.run(place(awaited, fails=True))
    asyncio.run(place(awaited, fails=False))
    assert payloads(queue) == [1, 2]


def test_a_task_follows_each_row_of_a_class(engine, asyncio_url, queue):
    class Shipment(Base):
        __tablename__ = "shipments"
        id: Mapped[int] = mapped_column(primary_key=True)
        order: Mapped[int]

    Base.metadata.create_all(engine)

    @enqueue_after(Shipment, "insert", queue)
    def ship(shipment: Shipment) -> Task | None:
        return Task("confirm", {"order": shipment.id}) if shipment.order else None

    @enqueue_after(Shipment, "delete", queue)
    def call_off(shipment: Shipment) -> Task:
        return Task("confirm", {"order": -shipment.id})

    session = scoped_session(sessionmaker(engine))
    first = Shipment(order=1)
    session.add_all([first, Shipment(order=0)])
    session.commit()
    session.delete(first)
    session.commit()
    session.add(Shipment(order=3))
    session.flush()
    session.rollback()
    session.remove()
    assert payloads(queue) == [-1, 1]

    async def more() -> None:
        asyncio_engine = create_async_engine(asyncio_url)
        async with AsyncSession(asyncio_engine) as asyncio_session, asyncio_session.begin():
            asyncio_session.add(Shipment(order=4))
        await asyncio_engine.dispose()

    asyncio.run(more())
    assert payloads(queue) == [-1, 1, 3]
    assert ship(Shipment(id=9, order=9)).payload == {"order": 9}


def test_what_add_task_would_raise_comes_out_of_the_flush(engine, queue):
    queue.enqueue("confirm", external_id="taken")
    with Session(engine) as session:
        enqueue_after_flush(session, queue, lambda: Task("confirm", external_id="taken"))
        session.add(Order(item="book"))
        with pytest.raises(DuplicateTaskError):
            session.commit()
        session.rollback()
    with Session(engine) as session:
        assert session.query(Order).count() == 0


def test_what_is_wrong_is_said_at_the_call(engine, queue):
    with Session(engine) as session, pytest.raises(ConfigurationError, match="make_task must be a function"):
        enqueue_after_flush(session, queue, Task("confirm"))
    with pytest.raises(ConfigurationError, match="session must be a Session or an AsyncSession"):
        enqueue_after_flush(engine, queue, lambda: None)
    with pytest.raises(ConfigurationError, match="happened must be 'insert', 'update' or 'delete'"):
        enqueue_after(Order, "upsert", queue)


def autogenerated(engine, **options):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata, **options})
        return compare_metadata(context, Base.metadata)


def test_autogenerate_of_alembic_leaves_the_tables_of_goque_alone(engine, queue):
    storage_of(queue).prepare_for_go()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE forgotten (id INTEGER)")
    with pytest.warns(SAWarning, match="expression-based index"):  # it looks into goque's tables
        dropped = {change[1].name for change in autogenerated(engine) if change[0] == "remove_table"}
    assert dropped == OWN_TABLES | {"forgotten"}  # every table that goque makes is in the list
    [(change, table)] = autogenerated(engine, include_name=include_name)
    assert (change, table.name) == ("remove_table", "forgotten")


class Foreign:
    """A connection of a driver that goque does not know."""

    commit = execute = None


@pytest.mark.parametrize(
    ("module", "instead"),
    [("asyncpg.connection", "postgresql+psycopg"), ("asyncmy.connection", "mysql+aiomysql"), ("other", "")],
)
def test_a_connection_of_another_driver_is_refused_with_the_one_to_use(queue, monkeypatch, module, instead):
    monkeypatch.setattr(Foreign, "__module__", module)
    with pytest.raises(ConfigurationError) as refused:
        queue.enqueue("confirm", conn=Foreign())
    assert f"it is a {module}.Foreign" in str(refused.value)
    assert (f"write {instead}:// in the engine's URL" in str(refused.value)) == bool(instead)
