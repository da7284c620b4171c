"""Clients that send half a request or leave early take no other client's answer from the monitor."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

import psutil
import pytest
from live_pages import ask_beside_live_pages
from tree import StartTree, eventually, free_port, get

APP = """
@registry.processor("fine", workers=1)
def fine(task: Task):
    pass
"""
CLIENTS = 1000
HALF = b"GET /metrics HTTP/1.1\r\nX-Slow: "
WHOLE = b"GET /metrics HTTP/1.0\r\n\r\n"


@pytest.fixture(autouse=True)
def descriptors_of_this_process() -> Iterator[None]:
    """Let the test itself hold all of its connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], CLIENTS * 2), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.fault(61)
@pytest.mark.parametrize("said", [b"", HALF], ids=["silent", "half a head"])
def test_a_thousand_half_open_clients_do_not_keep_others_out(start_tree: StartTree, said: bytes) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP, wrapped_in=["prlimit", "--nofile=256:256"])
    eventually(lambda: get(port, "/readyz")[0] == 200)
    lines = len(tree.log.splitlines())
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with contextlib.suppress(OSError):  # the monitor may have dropped it for a newer one
                client.sendall(said)
        began = time.monotonic()
        for page in ("/metrics", "/healthz", "/readyz"):
            assert get(port, page)[0] == 200
        assert time.monotonic() - began < 10
        eventually(lambda: _connections(tree.pid("monitor")) == 0, within=20)
    assert "Traceback" not in tree.log
    assert len(tree.log.splitlines()) - lines < 5


@pytest.mark.fault(61)
@pytest.mark.parametrize("descriptors", [256, 1024])
def test_live_pages_and_slow_readers_do_not_keep_others_out(start_tree: StartTree, descriptors: int) -> None:
    port = free_port()
    wrapped = ["prlimit", f"--nofile={descriptors}:{descriptors}"]
    types = "".join(APP.replace('"fine"', f'"fine{n}"') for n in range(4))
    tree = start_tree("--http", f"127.0.0.1:{port}", app=types, wrapped_in=wrapped)
    eventually(lambda: get(port, "/readyz")[0] == 200)
    lines = len(tree.log.splitlines())
    answers = ask_beside_live_pages(port, ("/readyz", "/healthz"), large="/metrics")
    answers.assert_all_were_served()
    assert "Traceback" not in tree.log
    assert len(tree.log.splitlines()) - lines < 5


def _connections(pid: int) -> int:
    lines = psutil.Process(pid).net_connections("tcp")
    return sum(line.status == psutil.CONN_ESTABLISHED for line in lines)


@pytest.mark.fault(61)
def test_clients_that_leave_before_the_answer_leave_no_traceback(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", "--log-format", "json", app=APP)
    eventually(lambda: get(port, "/readyz")[0] == 200)
    reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # closing sends a reset, so that writing the answer fails
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.sendall(WHOLE)
    assert get(port, "/metrics")[0] == 200
    assert "Traceback" not in tree.log
    assert all(line.startswith("{") for line in tree.log.splitlines() if "http" in line)
