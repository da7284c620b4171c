"""The nemesis's acts on processes: it kills them, or stops them and resumes them at the worst moment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

from arena import NODE_TIMEOUT, SHUTDOWN, Node
from stage import Stage, send
from verdict import LOST

ACTORS: Final = ("fetcher", "healer", "cleaner", "scheduler", "lease", "monitor", "actors", "app", "guard")
KILLS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


class ProcessActs:
    """Acts on the processes of a node."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def kill_worker(self, node: Node) -> None:
        """Kill one worker with one of the signals that end a crashing process."""
        number = self.stage.random.choice(KILLS)
        if workers := self.stage.alive(node, "w"):
            pid = self.stage.random.choice(workers)
            self.stage.killed.add(pid)
            self.stage.note(node, f"{number.name} to worker {pid}")
            send(pid, number)

    def kill_actor(self, node: Node) -> None:
        """Kill one of goque's own processes."""
        role = self.stage.random.choice(ACTORS)
        if pids := self.stage.alive(node, role):
            pid = self.stage.random.choice(pids)
            self.stage.note(node, f"SIGKILL to {role} {pid}")
            send(pid, signal.SIGKILL)

    def stop_something(self, node: Node) -> None:
        """Stop one process for a while; the root for less than half the node timeout.

        A stopped root cannot kill its handlers when the lease is lost. So it is stopped only while the node reaches the
        database, and resumed before a lease can be lost that is cut off meanwhile.
        """
        role = self.stage.random.choice(["w", "root", *ACTORS])
        if role == "root" and not self.stage.reaches_database(node):
            return
        seconds = (
            self.stage.random.uniform(0.2, 1.2)
            if role == "root"
            else self.stage.random.choice([0.3, 1, 2, 4, 8])
        )
        pids = self.stage.alive(node, role)
        if not pids:
            return
        pid = self.stage.random.choice(pids)
        if role == "w":
            self.stage.killed.add(pid)  # its fetcher may kill it after a timeout
        self.stage.note(node, f"SIGSTOP to {role} {pid} for {seconds:.1f}s")
        self.stage.stop(pid)
        self.stage.after(seconds, lambda: self.stage.resume(pid))

    def freeze(self, node: Node) -> None:
        """Kill a node's workers, and stop its other processes until another node runs one of its tasks."""
        if node.is_down or self.stage.lock is not None:
            return
        pids = sorted(node.tree.living())
        workers = self.stage.alive(node, "w")
        self.stage.note(node, "frozen, its workers killed")
        self.stage.excuse(node.tree.root, "its node was frozen")
        for pid in pids:
            self.stage.stop(pid)
        for pid in workers:
            self.stage.killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        running = self.stage.arena.running_in(node.tree.root)
        thaw_at = time.monotonic() + NODE_TIMEOUT + self.stage.random.choice([2, 4])
        self.stage.after(NODE_TIMEOUT, lambda: self._thaw(node, pids, running, thaw_at))

    def mute(self, node: Node) -> None:
        """Stop a node's writers until another node runs one of its tasks. Then they write their outcomes too late.

        There are no other acts meanwhile, and earlier ones have ended, so that the other node can start the task.
        """
        self.stage.is_alone = True
        self.stage.after(0.0, lambda: self._mute(node, time.monotonic() + 20))

    def _mute(self, node: Node, at_last: float) -> None:
        is_well = not self.stage.later and self.stage.arena.is_up()
        running = self.stage.arena.just_begun_in(node.tree.root, "lasting") if is_well else set()
        if not running and time.monotonic() < at_last:
            self.stage.after(0.05, lambda: self._mute(node, at_last))
            return
        writers = [*self.stage.alive(node, "lease"), *self.stage.alive(node, "fetcher")]
        self.stage.note(node, "its lease and fetchers stopped")
        # stopped inside of a transaction, they would block the other node's writes
        with self.stage.arena.database.locked():
            for pid in writers:
                self.stage.stop(pid)
        thaw_at = time.monotonic() + NODE_TIMEOUT + 5
        self.stage.after(NODE_TIMEOUT, lambda: self._thaw(node, writers, running, thaw_at, alone=True))

    def _thaw(
        self, node: Node, pids: list[int], tasks: set[str], at_last: float, *, alone: bool = False
    ) -> None:
        """Resume a frozen node at the worst moment: when another node has just started a task that it still holds."""
        if time.monotonic() < at_last and not tasks & self.stage.arena.running_in():
            self.stage.after(0.05, lambda: self._thaw(node, pids, tasks, at_last, alone=alone))
            return
        self.stage.note(node, "goes on")
        self.stage.is_alone = self.stage.is_alone and not alone
        for pid in pids:
            self.stage.resume(pid)

    def kill_root(self, node: Node) -> None:
        """Kill the root and start another: at once, or after another node has taken its tasks."""
        if node.is_down:
            return
        self.stage.resume_all(node)
        seconds = self.stage.random.choice([0.2, 1.0, NODE_TIMEOUT + 3])
        self.stage.note(node, f"SIGKILL to the root; another starts in {seconds}s")
        self.stage.excuse(node.tree.root, LOST)
        node.is_down = True
        node.tree.kill_root()
        self.stage.after(seconds, node.start)

    def end_tree(self, node: Node) -> None:
        """Stop the tree with one or two SIGTERMs, and start another."""
        if node.is_down or not self.stage.alive(node, "root"):
            return  # an interpreter that is still starting dies of any signal
        self.stage.resume_all(node)
        twice = self.stage.random.random() < 0.3
        self.stage.note(node, "SIGTERM" + " twice" if twice else "SIGTERM")
        self.stage.excuse(node.tree.root, "its tree was stopped")
        node.is_down = True
        tree = node.tree
        tree.signal(signal.SIGTERM)
        if twice:
            time.sleep(0.05)
            tree.signal(signal.SIGTERM)
        give_up_at = time.monotonic() + SHUTDOWN + 20
        self.stage.after(0.5, lambda: self._await_end(node, give_up_at))

    def _await_end(self, node: Node, give_up_at: float) -> None:
        code = node.tree.process.poll()
        if code is None:
            if time.monotonic() > give_up_at:
                raise AssertionError(
                    f"the tree of node {node.name} (pid {node.tree.root}) does not end after SIGTERM"
                )
            time.sleep(0.02)
            self.stage.after(0.3, lambda: self._await_end(node, give_up_at))
            return
        unborn = code == -signal.SIGTERM and not node.tree.log  # the interpreter was still starting
        never_came_up = code == 2 and "up as pid" not in node.tree.log  # the import of the app was killed
        if code not in (0, 3) and not unborn and not never_came_up:
            raise AssertionError(
                f"the tree of node {node.name} (pid {node.tree.root}) ended with {code} after SIGTERM"
            )
        self.stage.note(node, f"ended with {code}; another starts")
        node.exit_codes.append(code)
        node.start()

    def reload(self, node: Node) -> None:
        """Reload the app."""
        if self.stage.alive(node, "root"):
            self.stage.note(node, "SIGHUP")
            node.tree.signal(signal.SIGHUP)
