"""The sockets between a fetcher and its workers: who is heard, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goque_supervisor.ipc import sockets
from goque_supervisor.ipc.sockets import FetcherSocket, WorkerSocket, make_keys

PATIENCE = 10.0


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/sock"


@pytest.fixture
def keys() -> tuple[str, str]:
    return make_keys()


@pytest.fixture
def fetcher(endpoint: str, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FetcherSocket]:
    monkeypatch.setattr(sockets, "MAX_MESSAGE", 1000)
    made = FetcherSocket(endpoint, keys[1])
    yield made
    made.close()


def heard(fetcher: FetcherSocket) -> list[tuple[bytes, bytes]]:
    fetcher.wait(PATIENCE)
    return list(fetcher.receive())


def test_a_message_over_the_limit_is_not_heard_and_the_next_peer_is(
    fetcher: FetcherSocket, endpoint: str, keys: tuple[str, str]
) -> None:
    for identity, size in (("large", 1001), ("small", 10)):
        worker = WorkerSocket(endpoint, identity, keys[0])
        assert worker.send(b"x" * size)
        worker.close(PATIENCE if size < 1000 else 0.2)
    assert heard(fetcher) == [(b"small", b"x" * 10)]


def test_a_peer_that_knows_another_key_is_not_heard(
    fetcher: FetcherSocket, endpoint: str, keys: tuple[str, str]
) -> None:
    for identity, key in (("stranger", make_keys()[0]), ("worker", keys[0])):
        worker = WorkerSocket(endpoint, identity, key)
        assert worker.send(b"hello")
        worker.close(PATIENCE if identity == "worker" else 0.2)
    assert heard(fetcher) == [(b"worker", b"hello")]


def test_what_is_sent_to_nobody_is_said_so(fetcher: FetcherSocket) -> None:
    assert not fetcher.send(b"nobody", b"hello")
