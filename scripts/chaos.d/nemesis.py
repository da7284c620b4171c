"""Does to trees and databases what no queue should have to bear, one seeded choice after the other.

What is stopped goes on again, and what is killed for good is started again, after a while that was chosen with it.
Two faults at a time that no tree can bear are left out: the root and its guard in one moment.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
import pymysql
from arena import NODE_TIMEOUT, SHUTDOWN, Arena, Node
from databases import SqliteDatabase
from private_servers import STOP_AT_ONCE, STOP_FAST
from verdict import LOST, Excuse

ACTORS: Final = ("fetcher", "healer", "cleaner", "scheduler", "lease", "monitor", "actors", "app", "guard")
PAUSE: Final = (0.1, 0.8)
KILLS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


@dataclass(frozen=True)
class Act:
    """What was done, when (epoch seconds)."""

    time: float
    text: str


class Nemesis:
    """Acts upon an arena until a given time, then makes all well again.

    Args:
        arena: where.
        seed: of its choices.
        favourite: the name of an act to choose as often as all others together.

    Attributes:
        acts: what it did.
        excuses: what gives back runs.
        killed: pids of workers that it has killed.
    """

    def __init__(self, arena: Arena, seed: int, *, favourite: str = "") -> None:
        self.arena = arena
        self.acts: list[Act] = []
        self.excuses: list[Excuse] = []
        self.killed: set[int] = set()
        self._random = random.Random(seed)
        self._favourite = favourite
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._stopped: dict[int, float] = {}
        self._hold: contextlib.ExitStack | None = None
        self._is_server_down = False
        self._is_alone = False

    def run(self, seconds: float) -> None:
        """Act for so many seconds, then let everything go on."""
        until = time.monotonic() + seconds
        acts = self._weighted_acts()
        total = sum(weight for _, weight in acts)
        acts = [(act, total if act.__name__ == self._favourite else weight) for act, weight in acts]
        next_at = time.monotonic()
        while (now := time.monotonic()) < until:
            self._run_later(now)
            self.watch()
            if now < next_at or self._is_alone:
                time.sleep(0.02)
                continue
            act = self._random.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
            act(self._random.choice(self.arena.nodes))
            next_at = time.monotonic() + self._random.uniform(*PAUSE)

    def make_well(self) -> None:
        """Let everything go on, and what is down start."""
        while self._later:
            time.sleep(max(0.0, self._later[0][0] - time.monotonic()))
            self._run_later(time.monotonic())
            self.watch()
        for pid in list(self._stopped):
            self._continue(pid)

    def watch(self) -> None:
        """See that no tree has ended by itself; one that could not start, for what was done to it, is started again."""
        for node in self.arena.nodes:
            code = node.tree.process.poll()
            if code is None or node.is_down:
                continue
            if code not in (2, 3) or "up as pid" in node.tree.log:
                raise AssertionError(
                    f"the tree of node {node.name} (pid {node.tree.root}) ended by itself with {code}"
                )
            self._note(node, f"could not start ({code}), and is started again")
            node.is_down = True
            self._after(0.5, node.start)

    def _weighted_acts(self) -> list[tuple[Callable[[Node], None], int]]:
        acts = [
            (self.kill_worker, 10),
            (self.kill_actor, 10),
            (self.stop_something, 8),
            (self.kill_root, 3),
            (self.end_tree, 2),
            (self.reload, 3),
            (self.freeze, 3),
            (self.mute, 3),
            (self.silence_and_kill_fetchers, 3),
        ]
        if isinstance(self.arena.database, SqliteDatabase):
            return [*acts, (self.lock, 3)]
        acts += [(self.cut, 4), (self.cut_off, 2), (self.kill_connections, 2)]
        if self.arena.server is not None:
            acts += [(self.restart_server, 1), (self.pause_server, 1)]
        return acts

    def _run_later(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), call))

    def _note(self, node: Node | None, text: str) -> None:
        place = f"node {node.name} (root {node.tree.root}): " if node else ""
        self.acts.append(Act(time.time(), place + text))

    def _excuse(self, pid: int, reason: str) -> None:
        self.excuses.append(Excuse(pid, time.time(), reason))

    # -- processes -----------------------------------------------------------------------------------------

    def kill_worker(self, node: Node) -> None:
        """Kill one worker by one of the signals by which workers die."""
        number = self._random.choice(KILLS)
        if workers := self._alive(node, "w"):
            pid = self._random.choice(workers)
            self.killed.add(pid)
            self._note(node, f"{number.name} to worker {pid}")
            _send(pid, number)

    def kill_actor(self, node: Node) -> None:
        """Kill one of goque's own processes."""
        role = self._random.choice(ACTORS)
        if pids := self._alive(node, role):
            pid = self._random.choice(pids)
            self._note(node, f"SIGKILL to {role} {pid}")
            _send(pid, signal.SIGKILL)

    def stop_something(self, node: Node) -> None:
        """Stop one process for a while; the root for less than half of the node timeout."""
        role = self._random.choice(["w", "root", *ACTORS])
        seconds = self._random.uniform(0.2, 1.2) if role == "root" else self._random.choice([0.3, 1, 2, 4, 8])
        pids = self._alive(node, role)
        if not pids:
            return
        pid = self._random.choice(pids)
        if role == "w":
            self.killed.add(pid)  # it may die for its timeout
        self._note(node, f"SIGSTOP to {role} {pid} for {seconds:.1f}s")
        self._stop(pid)
        self._after(seconds, lambda: self._continue(pid))

    def freeze(self, node: Node) -> None:
        """Stop a whole node until another runs what it ran; its workers do not outlive it."""
        if node.is_down or self._hold is not None:
            return
        pids = sorted(node.tree.living())
        workers = self._alive(node, "w")
        self._note(node, "frozen, its workers killed")
        self._excuse(node.tree.root, "its node was frozen")
        for pid in pids:
            self._stop(pid)
        for pid in workers:
            self.killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        running = self.arena.running_in(node.tree.root)
        thaw_at = time.monotonic() + NODE_TIMEOUT + self._random.choice([2, 4])
        self._after(NODE_TIMEOUT, lambda: self._thaw(node, pids, running, thaw_at))

    def mute(self, node: Node) -> None:
        """Stop all that writes for a node until another runs what it ran: then it writes the ends of it, too late.

        Nothing else is done meanwhile, and what was done before is over: the other node must get that far.
        """
        self._is_alone = True
        self._after(0.0, lambda: self._mute(node, time.monotonic() + 20))

    def _mute(self, node: Node, at_last: float) -> None:
        is_well = not self._later and self.arena.is_up()
        running = self.arena.just_begun_in(node.tree.root, "lasting") if is_well else set()
        if not running and time.monotonic() < at_last:
            self._after(0.05, lambda: self._mute(node, at_last))
            return
        writers = [*self._alive(node, "lease"), *self._alive(node, "fetcher")]
        self._note(node, "its lease and fetchers stopped")
        with (
            self.arena.database.locked()
        ):  # amid a transaction they would keep the other node from writing too
            for pid in writers:
                self._stop(pid)
        thaw_at = time.monotonic() + NODE_TIMEOUT + 5
        self._after(NODE_TIMEOUT, lambda: self._thaw(node, writers, running, thaw_at, alone=True))

    def _thaw(
        self, node: Node, pids: list[int], tasks: set[str], at_last: float, *, alone: bool = False
    ) -> None:
        """Let a frozen node go on at the worst moment: when another has just begun what it still holds."""
        if time.monotonic() < at_last and not tasks & self.arena.running_in():
            self._after(0.05, lambda: self._thaw(node, pids, tasks, at_last, alone=alone))
            return
        self._note(node, "goes on")
        self._is_alone = self._is_alone and not alone
        for pid in pids:
            self._continue(pid)

    def kill_root(self, node: Node) -> None:
        """Kill the root, and start another: at once, or when others have taken its tasks."""
        if node.is_down:
            return
        self._continue_all(node)
        seconds = self._random.choice([0.2, 1.0, NODE_TIMEOUT + 3])
        self._note(node, f"SIGKILL to the root; another starts in {seconds}s")
        self._excuse(node.tree.root, LOST)
        node.is_down = True
        node.tree.kill_root()
        self._after(seconds, node.start)

    def end_tree(self, node: Node) -> None:
        """Stop the tree in order, or twice, and start another."""
        if node.is_down or not self._alive(node, "root"):
            return  # before it is the root it is an interpreter that starts, and dies of any signal
        self._continue_all(node)
        twice = self._random.random() < 0.3
        self._note(node, "SIGTERM" + " twice" if twice else "SIGTERM")
        self._excuse(node.tree.root, "its tree was stopped")
        node.is_down = True
        tree = node.tree
        tree.signal(signal.SIGTERM)
        if twice:
            time.sleep(0.05)
            tree.signal(signal.SIGTERM)
        give_up_at = time.monotonic() + SHUTDOWN + 20
        self._after(0.5, lambda: self._await_end(node, give_up_at))

    def _await_end(self, node: Node, give_up_at: float) -> None:
        code = node.tree.process.poll()
        if code is None:
            if time.monotonic() > give_up_at:
                raise AssertionError(
                    f"the tree of node {node.name} (pid {node.tree.root}) does not end after SIGTERM"
                )
            time.sleep(0.02)
            self._after(0.3, lambda: self._await_end(node, give_up_at))
            return
        if code not in (0, 3):
            raise AssertionError(
                f"the tree of node {node.name} (pid {node.tree.root}) ended with {code} after SIGTERM"
            )
        self._note(node, f"ended with {code}; another starts")
        node.exit_codes.append(code)
        node.start()

    def reload(self, node: Node) -> None:
        """Have the app imported anew."""
        if self._alive(node, "root"):
            self._note(node, "SIGHUP")
            node.tree.signal(signal.SIGHUP)

    # -- databases -----------------------------------------------------------------------------------------

    def cut(self, node: Node) -> None:
        """Cut all connections of a node; the next ones are let through."""
        assert node.proxy
        self._note(node, "connections cut")
        node.proxy.cut()

    def cut_off(self, node: Node) -> None:
        """Cut a node off, in silence or not, for less or longer than the node timeout."""
        assert node.proxy
        proxy = node.proxy
        seconds, silent = self._random.choice([1, 2, NODE_TIMEOUT + 2]), self._random.random() < 0.5
        self._note(
            node, f"cut off for {seconds:g}s" + " in silence" if silent else f"cut off for {seconds:g}s"
        )
        if silent:
            proxy.silent = proxy.deaf = True
        else:
            proxy.cut_off()
        self._after(seconds, proxy.join)

    def kill_connections(self, node: Node) -> None:
        """Have the server end every connection, the application's too."""
        if not self._is_server_down:
            self._note(None, "the server kills all connections")
            with contextlib.suppress(
                psycopg.OperationalError, pymysql.OperationalError
            ):  # it does not answer yet
                self.arena.database.kill_connections()

    def lock(self, node: Node) -> None:
        """Hold the write lock of a file for a while."""
        self._lock_for(self._random.choice([0.5, 2.0, 5.0]))

    def silence_and_kill_fetchers(self, node: Node) -> None:
        """Let nothing be written while work ends, and kill fetchers meanwhile: what has ended must be known."""
        seconds = 1.5
        if node.proxy is not None:
            self._note(node, f"cut off for {seconds}s, its fetchers killed meanwhile")
            node.proxy.cut_off()
            self._after(seconds, node.proxy.join)
        else:
            self._lock_for(seconds)
        self._after(
            0.7, lambda: [_send(pid, signal.SIGKILL) for pid in self._alive(node, "fetcher")] and None
        )

    def _lock_for(self, seconds: float) -> None:
        if self._hold is not None or any(pid for pid in self._stopped):
            return  # a stopped process may hold the lock itself
        self._note(None, f"the database is locked for {seconds:g}s")
        self._hold = contextlib.ExitStack()
        self._hold.enter_context(self.arena.database.locked())
        self._after(seconds, self._unlock)

    def _unlock(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def restart_server(self, node: Node) -> None:
        """Stop the server fast, or as a loss of power does, and start it again after a while."""
        server = self.arena.server
        assert server
        if self._is_server_down:
            return
        number = self._random.choice([STOP_FAST, STOP_AT_ONCE])[server.name]
        seconds = self._random.choice([0.1, 2.0, 4.0])
        self._note(None, f"the server is ended by {number.name} and down for {seconds:g}s")
        self._is_server_down = True
        server.process.send_signal(number)
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:  # it waits for clients that are stopped, or cut off
            server.stop(STOP_AT_ONCE[server.name])
        self._after(seconds, self._start_server)

    def _start_server(self) -> None:
        assert self.arena.server
        self.arena.server.start()
        self._is_server_down = False

    def pause_server(self, node: Node) -> None:
        """Stop the server's processes where they are for a while."""
        server = self.arena.server
        assert server
        if self._is_server_down:
            return
        seconds = self._random.choice([1.0, NODE_TIMEOUT + 1, 7.0])
        self._note(None, f"the server is stopped for {seconds:g}s")
        self._is_server_down = True
        server.pause()

        def resume() -> None:
            server.resume()
            self._is_server_down = False

        self._after(seconds, resume)

    # -- what there is -----------------------------------------------------------------------------------------

    def _alive(self, node: Node, role: str) -> list[int]:
        if node.is_down:
            return []
        return [
            pid
            for pid, name in sorted(node.tree.living().items())
            if name.startswith("goque:") and _is_of(name.removeprefix("goque:"), role)
        ]

    def _stop(self, pid: int) -> None:
        self._stopped[pid] = time.monotonic()
        _send(pid, signal.SIGSTOP)

    def _continue(self, pid: int) -> None:
        if self._stopped.pop(pid, None):
            _send(pid, signal.SIGCONT)

    def _continue_all(self, node: Node) -> None:
        for pid in set(self._stopped).intersection(node.tree.living()):
            self._continue(pid)


def _is_of(name: str, role: str) -> bool:
    return name[:1] == "w" and name[1:2].isdigit() if role == "w" else name.startswith(role)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(pid, number)
