"""The nemesis's acts on databases and connections: it cuts, locks, stops and ends them."""

from __future__ import annotations

import contextlib
import signal
import subprocess

import psycopg
import pymysql
from arena import NODE_TIMEOUT, Node
from private_servers import STOP_AT_ONCE, STOP_FAST
from stage import Stage, send


class DatabaseActs:
    """Acts on a node's connections to the database, or on the database itself."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def cut(self, node: Node) -> None:
        """Cut all connections of a node. New connections work."""
        assert node.proxy
        self.stage.note(node, "connections cut")
        node.proxy.cut()

    def cut_off(self, node: Node) -> None:
        """Cut a node off, silently or with closed connections, for less or longer than the node timeout."""
        assert node.proxy
        proxy = node.proxy
        seconds, silent = self.stage.random.choice([1, 2, NODE_TIMEOUT + 2]), self.stage.random.random() < 0.5
        self.stage.note(
            node, f"cut off for {seconds:g}s" + " in silence" if silent else f"cut off for {seconds:g}s"
        )
        if silent:
            proxy.silent = proxy.deaf = True
        else:
            proxy.cut_off()
        self.stage.after(seconds, proxy.join)

    def kill_connections(self, node: Node) -> None:
        """Let the server close every connection, including the application's."""
        if not self.stage.arena.is_server_down:
            self.stage.note(None, "the server kills all connections")
            # the server may not answer yet
            with contextlib.suppress(psycopg.OperationalError, pymysql.OperationalError):
                self.stage.arena.database.kill_connections()

    def lock(self, node: Node) -> None:
        """Hold the write lock of the SQLite file for a while."""
        self._lock_for(self.stage.random.choice([0.5, 2.0, 5.0]))

    def silence_and_kill_fetchers(self, node: Node) -> None:
        """Prevent writes while tasks end, and kill the fetchers meanwhile. No outcome may be lost."""
        seconds = 1.5
        if node.proxy is not None:
            self.stage.note(node, f"cut off for {seconds}s, its fetchers killed meanwhile")
            node.proxy.cut_off()
            self.stage.after(seconds, node.proxy.join)
        else:
            self._lock_for(seconds)
        self.stage.after(
            0.7, lambda: [send(pid, signal.SIGKILL) for pid in self.stage.alive(node, "fetcher")] and None
        )

    def _lock_for(self, seconds: float) -> None:
        if self.stage.lock is not None or any(pid for pid in self.stage.stopped):
            return  # a stopped process may hold the lock itself
        self.stage.note(None, f"the database is locked for {seconds:g}s")
        self.stage.lock = contextlib.ExitStack()
        self.stage.lock.enter_context(self.stage.arena.database.locked())
        self.stage.after(seconds, self._unlock)

    def _unlock(self) -> None:
        if self.stage.lock is not None:
            self.stage.lock.close()
            self.stage.lock = None

    def restart_server(self, node: Node) -> None:
        """End the server fast or at once, as a power loss does, and start it again after a while."""
        server = self.stage.arena.server
        assert server
        if self.stage.arena.is_server_down:
            return
        number = self.stage.random.choice([STOP_FAST, STOP_AT_ONCE])[server.name]
        seconds = self.stage.random.choice([0.1, 2.0, 4.0])
        self.stage.note(None, f"the server is ended by {number.name} and down for {seconds:g}s")
        self.stage.arena.is_server_down = True
        server.process.send_signal(number)
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:  # it waits for clients that are stopped or cut off
            server.stop(STOP_AT_ONCE[server.name])
        self.stage.after(seconds, self._start_server)

    def _start_server(self) -> None:
        assert self.stage.arena.server
        self.stage.arena.server.start()
        self.stage.arena.is_server_down = False

    def pause_server(self, node: Node) -> None:
        """Stop the server's processes with SIGSTOP for a while."""
        server = self.stage.arena.server
        assert server
        if self.stage.arena.is_server_down:
            return
        seconds = self.stage.random.choice([1.0, NODE_TIMEOUT + 1, 7.0])
        self.stage.note(None, f"the server is stopped for {seconds:g}s")
        self.stage.arena.is_server_down = True
        server.pause()

        def resume() -> None:
            server.resume()
            self.stage.arena.is_server_down = False

        self.stage.after(seconds, resume)
