"""FastAPI and Starlette applications that enqueue, with the lifespan that opens and closes their queues."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import psutil
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import goque
from goque.contrib.starlette import lifespan, queue_of
from goque.errors import ConfigurationError, SchemaError
from goque.testing import assert_enqueued

Queue = Annotated[goque.AsyncTaskQueueManager, Depends(queue_of)]


@pytest.fixture
def registry(tmp_path: Path) -> goque.Registry:
    made = goque.Registry(f"sqlite:///{tmp_path}/shop.db")
    made.add_processor("receipt", lambda task: None)
    return made


def test_endpoints_enqueue_and_the_queues_are_closed_at_the_end(registry):
    app = FastAPI(lifespan=lifespan(registry))

    @app.post("/orders/{number}")
    async def place(number: int, queue: Queue) -> str:
        return (await queue.enqueue("receipt", {"order": number})).id

    @app.post("/plain/{number}")
    def place_plainly(number: int) -> str:
        registry.queue.add_task_in_background(goque.Task("receipt", {"order": number}))
        return "soon"

    with TestClient(app) as client:
        task_id = client.post("/orders/7").json()
        client.post("/plain/8")
        used = registry.async_queue
    assert registry._queues._plain is None
    assert registry.async_queue is not used
    assert registry.queue.get_task(task_id).payload == {"order": 7}
    assert_enqueued(registry.queue, "receipt", payload={"order": 8})  # the end waited for it


def test_a_lifespan_of_ones_own_runs_inside(registry):
    seen = []

    @asynccontextmanager
    async def mine(app):
        seen.append(await registry.async_queue.get_tasks())
        yield {"mine": 3}
        await registry.async_queue.enqueue("receipt", external_id="the last")

    async def show(request: Request) -> JSONResponse:
        return JSONResponse([request.state.mine, type(request.state.queue).__name__])

    app = Starlette(routes=[Route("/", show)], lifespan=lifespan(registry, inner=mine))
    with TestClient(app) as client:
        assert client.get("/").json() == [3, "AsyncTaskQueueManager"]
    assert seen == [[]]
    assert_enqueued(registry.queue, "receipt", external_id="the last")


def test_an_application_without_a_database_does_not_start(tmp_path):
    (tmp_path / "shop.db").write_text("CREATE TABLE is no database", "utf-8")
    app = FastAPI(lifespan=lifespan(goque.Registry(f"sqlite:///{tmp_path}/shop.db")))
    with pytest.raises((SchemaError, goque.DatabaseUnavailableError)), TestClient(app):
        pass


def test_what_is_missing_is_said_with_what_to_do(registry):
    with pytest.raises(ConfigurationError, match=r"lifespan needs a goque.Registry, not 'app:registry'"):
        lifespan("app:registry")
    app = FastAPI()
    app.get("/")(_queue_of_nothing)
    with TestClient(app) as client, pytest.raises(ConfigurationError, match="give it lifespan="):
        client.get("/")


async def _queue_of_nothing(queue: Queue) -> None:
    pass


SHOP = """
import time
from fastapi import FastAPI
import goque
from goque.contrib.starlette import lifespan

registry = goque.Registry()


@registry.processor("receipt", store_result=True)
def receipt(task):
    time.sleep(task.payload)
    return "sent"


app = FastAPI(lifespan=lifespan(registry, tree=True))


@app.post("/orders")
async def place(seconds: float) -> str:
    return (await registry.async_queue.enqueue("receipt", seconds)).id


@app.get("/orders/{task_id}")
async def look(task_id: str) -> list:
    task = await registry.async_queue.get_task(task_id)
    return [task.status, task.result]
"""


def ask(port: int, path: str, method: str = "GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def eventually(look, within=30.0):
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:g}s"
        time.sleep(0.02)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="process groups are looked at")
def test_a_tree_beside_the_application_ends_in_order_with_it(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started: list[psutil.Process] = []
    try:
        quick = eventually(lambda: ask(port, "/orders?seconds=0", "POST"))
        assert eventually(lambda: (told := ask(port, f"/orders/{quick}"))[0] == "done" and told) == [
            "done",
            "sent",
        ]
        slow = ask(port, "/orders?seconds=1.5", "POST")
        eventually(lambda: ask(port, f"/orders/{slow}")[0] == "processing")
        started = psutil.Process(server.pid).children(recursive=True)
        assert len(started) > 3
        os.killpg(server.pid, signal.SIGINT)  # Ctrl-C in its terminal
        server.wait(30)
    finally:
        server.kill()
        for process in started:
            if process.is_running():
                process.kill()
    told = (tmp_path / "log").read_text("utf-8")
    assert "Application shutdown complete" in told, told
    assert [process for process in started if process.is_running()] == []
    queue = goque.TaskQueueManager(f"sqlite:///{tmp_path}/goque.db")
    assert (queue.get_task(slow).status, queue.get_task(slow).result) == ("done", "sent")
    queue.close()
