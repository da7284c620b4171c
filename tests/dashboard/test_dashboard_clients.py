"""Clients that send half a request, send slowly or read nothing take no other client's answer."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dashboard_process import running_dashboard
from eventually import eventually
from live_pages import ask_beside_live_pages

from goque import Task
from goque.dashboard.server import DESCRIPTORS_OF_A_THREAD, GRACE, Connections, limits_for

CLIENTS = 1000
HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HALF_FORM = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\ncsrf="


@pytest.fixture(scope="module", autouse=True)
def descriptors_of_this_process() -> Iterator[None]:
    """Let the test itself hold all of its connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], CLIENTS * 2), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connect(port: int, said: bytes, stack: contextlib.ExitStack) -> list[socket.socket]:
    clients = []
    for _ in range(CLIENTS):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        with contextlib.suppress(OSError):  # the server may have dropped it for a newer one
            client.sendall(said)
        clients.append(client)
    return clients


@pytest.mark.fault(61)
@pytest.mark.parametrize("said", [b"", HALF, HALF_FORM], ids=["silent", "half a head", "half a form"])
def test_a_thousand_half_open_clients_do_not_keep_others_out(storage, backend, tmp_path: Path, said: bytes):
    del storage
    with (
        running_dashboard(tmp_path, backend.url, descriptors=256) as dashboard,
        contextlib.ExitStack() as stack,
    ):
        connect(dashboard.port, said, stack)
        began = time.monotonic()
        for _ in range(5):
            answer = dashboard.ask("/tasks")
            assert answer.status == 200
        assert time.monotonic() - began < 10
        sockets = [one for one in psutil.Process(dashboard.pid).net_connections("tcp") if one.raddr]
        assert len(sockets) <= limits_for(256)[0] + 2  # one is being accepted, one is being closed
        eventually(lambda: not _established(dashboard.pid), within=20)
        assert "Traceback" not in dashboard.log
        assert len(dashboard.log.splitlines()) < 5


def _established(pid: int) -> list[object]:
    found = psutil.Process(pid).net_connections("tcp")
    return [one for one in found if one.status == psutil.CONN_ESTABLISHED]


@pytest.mark.fault(61)
def test_clients_that_leave_before_the_answer_leave_no_traceback(storage, backend, tmp_path: Path):
    del storage
    with running_dashboard(tmp_path, backend.url) as dashboard:
        for _ in range(50):
            for said in (
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                HALF_FORM,
                b"\x16\x03\x01nonsense\r\n\r\n",
            ):
                with socket.create_connection(("127.0.0.1", dashboard.port)) as client:
                    client.sendall(said)
        assert dashboard.ask("/tasks").status == 200
        assert "Traceback" not in dashboard.log
        assert len(dashboard.log.splitlines()) < 5


CHUNKED = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.fault(61)
def test_a_body_that_is_no_http_is_refused_and_leaves_no_traceback(storage, backend, tmp_path: Path):
    del storage
    large = (
        b"GET /static/vendor/htmx.min.js HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with running_dashboard(tmp_path, backend.url) as dashboard:
        answers = []
        for head in (CHUNKED, CHUNKED.replace(b"POST /login", b"GET /tasks"), large):
            for pause in (0.0, 0.3):
                with socket.create_connection(("127.0.0.1", dashboard.port), timeout=5) as client:
                    client.sendall(head)
                    time.sleep(pause)  # the answer may have begun, or not
                    client.sendall(b"zz\r\n\r\n")
                    with contextlib.suppress(ConnectionResetError):
                        answers.append(client.recv(100))
        assert answers[0].startswith(b"HTTP/1.1 400 ")
        assert dashboard.ask("/tasks").status == 200
        assert "Traceback" not in dashboard.log
        assert len(dashboard.log.splitlines()) < 5


PATHS = ("/nodes", "/jobs")


@pytest.mark.fault(61)
@pytest.mark.parametrize("descriptors", [256, 1024])
def test_live_pages_and_slow_readers_do_not_keep_others_out(
    storage, backend, tmp_path: Path, descriptors: int
):
    storage.insert_tasks([Task("mail", {"n": n, "text": "x" * 500}) for n in range(200)])
    with running_dashboard(tmp_path, backend.url, descriptors=descriptors) as dashboard:
        answers = ask_beside_live_pages(dashboard.port, PATHS, large="/static/vendor/htmx.min.js")
        answers.assert_all_were_served()
        assert "Traceback" not in dashboard.log
        assert len(dashboard.log.splitlines()) < 5


@pytest.mark.parametrize("descriptors", [128, 256, 1024, 1 << 20])
def test_connections_and_threads_fit_into_the_descriptors(descriptors: int):
    connections, threads = limits_for(descriptors)
    assert connections + threads * DESCRIPTORS_OF_A_THREAD + 40 <= descriptors


class _Client:
    is_dropped = False

    def drop(self) -> None:
        self.is_dropped = True


def test_a_new_connection_replaces_an_idle_one_or_the_one_that_waits_longest_and_never_a_busy_one():
    now = [0.0]
    slots = Connections(3, clock=lambda: now[0])
    busy, waiting, idle, *others = (_Client() for _ in range(6))

    def admit(client: _Client) -> None:
        slots._reserved += 1
        slots.admit(client)

    for client in (busy, waiting, idle):
        assert slots.has_place()
        admit(client)
    slots.set_busy(busy)
    slots.set_busy(idle)
    slots.set_idle(idle)
    assert slots.has_place()
    assert (busy.is_dropped, waiting.is_dropped, idle.is_dropped) == (False, False, True)
    admit(others[0])
    assert not slots.has_place(), "a client has a moment to send its request"
    now[0] = GRACE
    assert slots.has_place()
    assert (waiting.is_dropped, others[0].is_dropped) == (True, False)
    admit(others[1])
    slots.set_busy(others[0])
    slots.set_busy(others[1])
    now[0] = 100.0
    assert not slots.has_place()
    slots.forget(others[1])
    assert slots.has_place()
    assert len(slots) == 2


def test_a_new_connection_waits_while_all_others_are_busy():
    async def history() -> None:
        slots = Connections(1)
        await slots.reserve()
        busy = _Client()
        slots.admit(busy)
        slots.set_busy(busy)
        reservation = asyncio.create_task(slots.reserve())
        await asyncio.sleep(0)
        assert not reservation.done()
        slots.set_idle(busy)
        await asyncio.wait_for(reservation, 5)
        assert busy.is_dropped

    asyncio.run(history())
