"""Hundreds of pages that ask again and again, and of clients that read slowly, beside others who want an answer."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

PAGES = 500
ROUNDS = 2
PERIOD = 4.0
MOST_RESETS = PAGES * ROUNDS // 7
"""Connections that were replaced before this process sent its request: on a busy machine it does so late."""


@dataclass(frozen=True)
class Answers:
    """What came back: the statuses that each page got, its lost connections, and the seconds that others waited."""

    pages: list[list[int]]
    resets: int
    others: list[float]

    def assert_all_were_served(self) -> None:
        """See that each page got each answer, and that nobody waited for long."""
        assert self.pages == [[200] * ROUNDS] * PAGES
        assert max(self.others) < 10
        assert (
            self.resets < PAGES / 20
        )  # on a busy machine a request is sent late, and its connection is replaced


class LivePage:
    """A page in a browser: it asks again and again, on the same connection while the server keeps it open."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.request = _request(path)
        self.line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.resets = 0

    async def live(self, start: float) -> list[int]:
        """Return the status of each answer."""
        answers = []
        for delay in (start, *[PERIOD] * (ROUNDS - 1)):
            await asyncio.sleep(delay)
            answers.append(await self._ask())
        if self.line:
            self.line[1].close()
        return answers

    async def _ask(self) -> int:
        if self.line is not None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return await self._answer(*self.line)
            self.line[1].close()  # the server has closed it meanwhile: a browser takes another
        try:
            self.line = await asyncio.open_connection("127.0.0.1", self.port)
            return await self._answer(*self.line)
        except (OSError, asyncio.IncompleteReadError):
            self.line, self.resets = None, self.resets + 1
            return await self._ask()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(re.findall(r"(?i)content-length: (\d+)", head)[0]))
        return int(head.split()[1])


async def read_slowly(port: int, path: str, start: float) -> None:
    """Ask for a page and read one byte a second, until the server drops the connection."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(start)
    with socket.socket() as line, contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        line.setblocking(False)
        await loop.sock_connect(line, ("127.0.0.1", port))
        await loop.sock_sendall(line, _request(path))
        byte = await loop.sock_recv(line, 1)
        while byte:
            await asyncio.sleep(1)
            byte = await loop.sock_recv(line, 1)


def ask_beside_live_pages(port: int, paths: Sequence[str], large: str) -> Answers:
    """Let 500 pages of these paths live, and 500 clients read a large one slowly; meanwhile ask for the first path."""
    pages = [LivePage(port, paths[n % len(paths)]) for n in range(PAGES)]

    async def clients() -> Answers:
        starts = [PERIOD * n / PAGES for n in range(PAGES)]
        readers = [asyncio.create_task(read_slowly(port, large, start)) for start in starts]
        lives = [asyncio.create_task(page.live(start)) for page, start in zip(pages, starts, strict=True)]
        others: list[float] = []
        resets = 0
        while not all(live.done() for live in lives):
            began = time.monotonic()
            resets += await asyncio.to_thread(_get, port, paths[0])
            others.append(time.monotonic() - began)
            await asyncio.sleep(0.2)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        resets += sum(page.resets for page in pages)
        return Answers([await live for live in lives], resets, others)

    return asyncio.run(clients())


def _get(port: int, path: str) -> int:
    """Ask as a browser does; returns how often the connection was lost."""
    resets = 0
    while True:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            answer.read()
        except ConnectionError:
            resets += 1
        else:
            assert answer.status == 200
            return resets
        finally:
            line.close()


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
