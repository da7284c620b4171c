"""One chaos run, from its start to its verdict.

1. Two trees start on one database, and an application enqueues and cancels tasks.
2. The nemesis causes faults for `--seconds`.
3. The faults end, and all tasks must finish.
4. The trees are stopped with SIGTERM, and must leave nothing behind.
5. The diary and the tables must agree (verdict.py).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import Final

from arena import SHUTDOWN, Arena
from evidence import Attempt, Evidence, Excuse, Row
from history import histories
from load import Load
from nemesis import Nemesis
from verdict import Verdict

from goque.storage.url import hide_password
from goque_supervisor.ipc import os_process

GUARDS: Final = {
    "owner-guard": "mute",
    "black-box": "silence_and_kill_fetchers",
    "ack-after-commit": "silence_and_kill_fetchers",
    "group-kill": "kill_worker",
    "count-under-the-lock": "lock",
}
"""Each guard that can be switched off, and the act that detects this best. It is chosen more often then."""

QUIET: Final = 90.0
QUIET_WITHOUT_A_GUARD: Final = 45.0
"""Seconds for the last tasks to end. Without a guard some may never end, which is an error that was detected."""

GIVES_BACK: Final = {
    "the lease is lost": "its node lost the lease",
    "another node has declared node": "its node was declared dead",
    "the database has lost commits of node": "its node took a new name",
    "its workers are restarted too": "its fetcher kept dying",
    "does not accept tasks: replacing it": "it was unresponsive",
}


class Chaos:
    """A seeded run. `complaints` is empty after a success."""

    def __init__(
        self,
        where: str,
        seed: int,
        seconds: float,
        *,
        rate: float,
        sabotage: str = "",
        keep: bool = False,
    ) -> None:
        self.complaints: list[str] = []
        self.verdict: Verdict | None = None
        self._where = where
        self._seed = seed
        self._seconds = seconds
        self._rate = rate
        self._keep = keep
        self._sabotage = sabotage
        self._arena = Arena(where, sabotage)
        self._nemesis = Nemesis(self._arena, seed, favourite=GUARDS.get(sabotage, ""))

    def run(self) -> None:
        """Run, and add errors to `complaints`."""
        arena = self._arena
        quiet = QUIET_WITHOUT_A_GUARD if self._sabotage else QUIET
        os_process.become_subreaper()  # so that orphans of killed trees are seen and reaped here
        try:
            for node in arena.nodes:
                node.start()
            self._await(arena.is_up, "the trees come up")
            self._load = Load(arena.application_url, self._seed, self._rate)
            try:
                self._nemesis.run(self._seconds)
            finally:
                self._nemesis.make_well()  # first: the application may wait for a lock that the nemesis holds
                self._load.stop()
            self._await(arena.is_up, "the trees come up again")
            self._await(arena.database.is_settled, "every task comes to an end", quiet)
            self._await(arena.is_recovered, "what killed trees left is recovered")
            self._stop()
            self._judge()
        except AssertionError as error:
            self.complaints.append(f"{error}; later checks were skipped")
        finally:
            self._clean_up()
            os_process.become_subreaper(wanted=False)

    def _await(self, condition: Callable[[], object], what: str, within: float = 60.0) -> None:
        """Wait until a condition holds. A tree that ends meanwhile raises AssertionError."""
        deadline = time.monotonic() + within
        while not condition():
            self._nemesis.make_well()
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within:g}s: {what}; {self._arena.database.counts()}")
            time.sleep(0.05)

    # -- the end ---------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        for node in self._arena.nodes:
            node.is_down = True
            if (code := node.tree.stop(SHUTDOWN + 20)) != 0:
                self.complaints.append(f"the tree of node {node.name} ended with {code} at its orderly stop")
        self._look_for_remains()

    def _look_for_remains(self) -> None:
        trees = [tree for node in self._arena.nodes for tree in node.trees]
        deadline = time.monotonic() + 15
        while not all(tree.is_gone() for tree in trees) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, name in self._arena.living().items():
            self.complaints.append(f"process {pid} ({name}) is left")
        for node in self._arena.nodes:
            left = sorted(path.name for path in node.run_dir.iterdir() if path.name != "lock")
            if left:
                self.complaints.append(f"left in the run directory of node {node.name}: {', '.join(left)}")
            with (node.run_dir / "lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.complaints.append(f"the run directory of node {node.name} is still locked")
        try:
            self._arena.database.assert_nobody_holds_anything()
        except AssertionError as error:
            self.complaints.append(f"left in the database: {error}")

    # -- the verdict -------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        database = self._arena.database
        rows = database.execute("SELECT id, type, external_id, status, attempts FROM goque_task")
        attempts = database.execute("SELECT task_id, cause, worker_pid, error FROM goque_attempt ORDER BY id")
        self.verdict = Verdict(
            Evidence(
                self._arena.diary,
                [Row(str(row[0]), *row[1:]) for row in rows],
                [Attempt(str(task), cause, pid or 0, error) for task, cause, pid, error in attempts],
                self._load.enqueued,
                self._load.canceled,
                [*self._nemesis.stage.excuses, *self._logged_excuses()],
                self._nemesis.stage.killed,
                self._nemesis.stage.lost_commits,
                self._load.edges,
            )
        )
        self.complaints += self.verdict.complaints

    def _logged_excuses(self) -> list[Excuse]:
        return [
            Excuse(root, when, reason)
            for node in self._arena.nodes
            for root, when, text in node.lines()
            for words, reason in GIVES_BACK.items()
            if words in text
        ]

    def report(self) -> str:
        """Return the counts, and after a failure every act and every complaint."""
        where, pace = hide_password(self._where), f"--seconds {self._seconds:g} --rate {self._rate:g}"
        parts = [f"scripts/chaos {pace} --seed {self._seed} --database-url {where}"]
        acts = self._nemesis.stage.acts
        if self.complaints:
            parts += ["", "acts:"]
            parts += [f"  {time.strftime('%H:%M:%S', time.localtime(act.time))} {act.text}" for act in acts]
            parts += ["", f"{len(self.complaints)} complaints:"]
            parts += [f"  {complaint}" for complaint in self.complaints]
            parts += ["", *histories(self.complaints, self._arena.diary, self._arena.log_lines())]
        counts = self.verdict.counts if self.verdict else {}
        parts += ["", *(f"{name:45} {count:7}" for name, count in sorted(counts.items()))]
        parts += [f"{'acts of the nemesis':45} {len(acts):7}"]
        parts += [
            "",
            f"FAILED, seed {self._seed}"
            if self.complaints
            else "no task was lost or run twice, and nothing is left",
        ]
        if self._keeps:
            parts.append(f"diary and logs: {self._arena.directory}")
        return "\n".join(parts)

    def _clean_up(self) -> None:
        for node in self._arena.nodes:
            for tree in node.trees:
                tree.clean_up()
        self._arena.close(keep=self._keeps)

    @property
    def _keeps(self) -> bool:
        """Whether to keep the diary and the logs: on request, and after a failure without sabotage."""
        return self._keep or (bool(self.complaints) and not self._sabotage)
