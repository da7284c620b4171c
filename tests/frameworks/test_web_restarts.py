"""FastAPI and Flask applications with SQLAlchemy: the database restarts under their idle web and worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import services
from eventually import eventually
from private_servers import STOP_AT_ONCE, STOP_FAST, PrivateServer

from goque.storage import open_storage
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow

HANDLERS = """
    import os
    import goque
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.orm import Session

    registry = goque.Registry()
    engine = create_engine(os.environ["ENGINE"], pool_pre_ping=True)
    async_engine = create_async_engine(os.environ["ASYNC_ENGINE"], pool_pre_ping=True)
    unchecked = create_engine(os.environ["ENGINE"])

    @registry.processor("plain", workers=1, max_attempts=1)
    def plain(task):
        with Session(engine) as session:
            session.execute(text("SELECT 1"))

    @registry.processor("awaited", workers=1, max_attempts=1)
    async def awaited(task):
        async with async_engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    @registry.processor("enqueuing", workers=1, max_attempts=1)
    def enqueuing(task):
        registry.queue.enqueue("follow_up", {})

    @registry.processor("enqueuing_awaited", workers=1, max_attempts=1)
    async def enqueuing_awaited(task):
        await registry.async_queue.enqueue("follow_up", {})

    @registry.processor("follow_up", workers=1, max_attempts=1)
    def follow_up(task):
        pass

    @registry.processor("unchecked", workers=1, max_attempts=2, next_attempt_at=goque.retry.static(0))
    def with_a_pool_that_checks_nothing(task):
        with unchecked.connect() as connection:
            connection.execute(text("SELECT 1"))

    KINDS = ("plain", "awaited", "enqueuing", "enqueuing_awaited", "unchecked")
"""
FASTAPI = """
    from typing import Annotated
    from fastapi import Depends, FastAPI
    from goque.contrib.starlette import lifespan, queue_of
    from handlers import *

    app = FastAPI(lifespan=lifespan(registry))
    Queue = Annotated[goque.AsyncTaskQueueManager, Depends(queue_of)]

    @app.get("/enqueue")
    async def enqueue(queue: Queue):
        for kind in KINDS:
            await queue.enqueue(kind, {})

    @app.get("/enqueue_plainly")
    def enqueue_plainly():
        registry.queue.enqueue("plain", {})

    @app.get("/with_session")
    def with_session():
        with Session(engine) as session, session.begin():
            registry.queue.enqueue("plain", {}, conn=session)

    @app.get("/look")
    async def look(queue: Queue):
        return len(await queue.get_tasks())
"""
FLASK = """
    import flask
    from handlers import *

    app = flask.Flask(__name__)

    @app.get("/enqueue")
    def enqueue():
        for kind in KINDS:
            registry.queue.enqueue(kind, {})
        return ""

    @app.get("/enqueue_plainly")
    def enqueue_plainly():
        registry.queue.add_task_in_background(goque.Task("plain", {}))
        return ""

    @app.get("/with_session")
    def with_session():
        with Session(engine) as session, session.begin():
            registry.queue.enqueue("plain", {}, conn=session)
        return ""

    @app.get("/look")
    def look():
        return str(len(registry.queue.get_tasks()))
"""
FRAMEWORKS = {
    "FastAPI": (FASTAPI, ("uvicorn", "web:app", "--log-level", "warning", "--port")),
    "Flask": (FLASK, ("flask", "--app", "web", "run", "--without-threads", "--port")),
}
PATHS = ("enqueue", "enqueue_plainly", "with_session", "look")
TASKS_OF_A_ROUND = 5 + 2 + 1 + 1
"""Those that `enqueuing` and `enqueuing_awaited` enqueue included."""

DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgresql+psycopg"),
    "mysql": ("mysql+pymysql", "mysql+aiomysql"),
}


@pytest.fixture
def server(backend: str) -> Iterator[PrivateServer]:
    made = PrivateServer(backend)
    yield made
    made.repair()
    made.close()


@contextmanager
def running(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[Path]:
    """Run a program beside the block; yields the file with its output."""
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield log
        finally:
            process.terminate()
            process.wait(30)
            print(log.read_text("utf-8"))  # noqa: T201 - pytest shows it when the test failed


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.fault(57)
@pytest.mark.timeout(180)
def test_row_57_a_server_restarted_under_idle_processes_costs_no_task_and_no_request(
    server: PrivateServer, framework: str, tmp_path: Path
) -> None:
    web, command = FRAMEWORKS[framework]
    (tmp_path / "handlers.py").write_text(textwrap.dedent(HANDLERS), "utf-8")
    (tmp_path / "web.py").write_text(textwrap.dedent(web), "utf-8")
    engine, async_engine = (f"{driver}://{server.url.partition('://')[2]}" for driver in DRIVERS[server.name])
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "GOQUE_DATABASE_URL": server.url,
        "ENGINE": engine,
        "ASYNC_ENGINE": async_engine,
    }
    storage = open_storage(server.url)
    storage.migrate()
    port = services._free_port()

    def rows() -> list[TaskRow]:
        return storage.find_tasks(TaskFilter(), limit=1000)

    def do_a_round(number: int) -> None:
        assert [status(f"http://127.0.0.1:{port}/{path}") for path in PATHS] == [200] * len(PATHS)
        eventually(lambda: len(rows()) == number * TASKS_OF_A_ROUND, within=30)
        eventually(lambda: all(row.status in ("done", "attempts_left") for row in rows()), within=30)
        failed = {(row.type, row.errors) for row in rows() if row.status != "done" or row.errors}
        assert {kind for kind, _errors in failed} <= {"unchecked"}  # as its own query fails, once
        assert {row.status for row in rows()} == {"done"}

    with (
        running(tmp_path, environment, "goque", "supervise", "handlers:registry"),
        running(tmp_path, environment, *command, str(port)),
    ):
        eventually(lambda: status(f"http://127.0.0.1:{port}/look"), within=30)
        do_a_round(1)
        for number, stop in enumerate((STOP_FAST, STOP_AT_ONCE), 2):
            server.restart(stop[server.name])
            do_a_round(number)
    storage.close()
