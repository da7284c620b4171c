"""Judge what happened to every task, from the diary and the tables. It does no I/O, so that tests can check it.

Each run in the diary must have exactly one of these explanations:

1. a charged attempt with the pid of its worker, or of its supervisor if the node was lost;
2. the success that made the task done, or the cancel that ended the task;
3. a snooze, a RateLimited, or a TaskCanceled;
4. an event in the same tree that gave the run back: a shutdown, a lost lease, the end of a worker because of another
   task, or the kill of a supervisor.

Each charged attempt must have a run, or a worker that was killed before the handler's first line.

No run of a limited type may have found all places of its limit taken, or begun before its rate allows: see
limit_ledger.py. No dependent of a flow may have begun before its needs ended: see flow_ledger.py. No step that was
recorded may have been called again: see step_ledger.py.

Only what a failover really lost is no complaint: a task that the new primary does not have, a cancel that it does not
know, a run of a task that it has in an earlier state, a run that is one too many beside such a run.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from evidence import Attempt, Evidence, Row, Run, read_runs
from flow_ledger import FlowLedger
from limit_ledger import LimitLedger
from step_ledger import StepLedger

TERMINAL: Final = {"done", "canceled", "attempts_left"}
CRASHING: Final = {"crashing", "stumbling", "exiting", "forking"}
STUCK: Final = {"slow", "hanging"}
UNCHARGED: Final = {"lost_unstarted", "canceled", "interrupted", "done"}
"""The causes of rows of goque_attempt that charge nothing: processes that had to be killed, and long successes."""

ENDINGS: Final = {
    "failed": ["ValueError"],
    "timeout": ["", "TaskTimeout", "CancelledError"],
    "crash": [""],
    "lost": [""],
}
"""How a run can end in the diary, by the cause of its charged attempt; the most likely end is first."""

DEATHS: Final = {
    ("exiting", 1): "exit code 0",
    ("exiting", 2): "exit code 3",
    ("forking", 1): "signal 9 (SIGKILL)",
    ("stumbling", 1): "in step second: signal ",
    ("stumbling", 2): "in step second: signal ",
    ("crashing", 1): "signal ",
    ("crashing", 2): "signal ",
}
"""The text that a crash's error must contain, by the temper and the number of the run."""

PUT_OFF: Final = ("Snooze", "RateLimited", "StepPause")
"""How a run ends in the diary that is put off, and not charged."""

CHARGED_AS_LOST: Final = "charged, because its node was silent"
"""Why a run ended with an attempt. If its node comes back, claims the task again and has its success, that counts."""

LOST: Final = "its node was lost"
"""Why a run of a killed supervisor ended without a charge: the supervisor had not written its start yet."""

MAX_IN_A_WINDOW: Final = 60
"""Runs that one supervisor can have started and not written: its slots, and tasks sent ahead to short handlers."""

IN_A_FAILOVER: Final = "its claim or its end was lost in a failover"
"""Why a run came to nothing, or a second one began beside it."""

SLACK: Final = 1.0
"""Seconds that may pass between an event and its record."""

ORPHANS_END: Final = 3.0
"""Seconds in which the workers of a killed root may still begin tasks that they were sent: on a busy machine the guard
and the system need them to end the workers."""


class Verdict:
    """The complaints about a run, and its counts."""

    def __init__(self, evidence: Evidence) -> None:
        self.complaints: list[str] = []
        self.counts: Counter[str] = Counter()
        self._evidence = evidence
        self._runs = read_runs(evidence.diary)
        self._by_pid: dict[int, list[Run]] = defaultdict(list)
        for run in self._all_runs():
            self._by_pid[run.pid].append(run)
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in evidence.attempts:
            self._attempts[attempt.task].append(attempt)
        self._judge_tables()
        self._judge_overlaps()
        self._judge_limits()
        self._judge_flows()
        self._judge_steps()
        self._judge_blame()
        for row in evidence.rows:
            self._judge_row(row)
        self._interrupted = self._workers_ended_for_one()
        for row in evidence.rows:
            self._judge_rest(row)
        self._judge_windows()
        self._count()

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _judge_tables(self) -> None:
        rows = {row.id: row for row in self._evidence.rows}
        lost = {task for failover in self._evidence.lost_commits for task in failover.tasks}
        cancels_lost = {task for failover in self._evidence.lost_commits for task in failover.cancels}
        for task in set(self._evidence.enqueued) - rows.keys() - lost:
            self._complain(f"task {task} was enqueued and is lost")
        for task in rows.keys() & set(self._evidence.canceled) - cancels_lost:
            if rows[task].status != "canceled":
                self._complain(f"task {task} was canceled and came back: it is {rows[task].status}")
        for task in self._runs.keys() - rows.keys() - lost:
            self._complain(f"task {task} ran and is not in the table")
        for run in (run for task in lost - rows.keys() for run in self._runs.get(task, [])):
            run.reason = "its task was lost in a failover"

    def _judge_overlaps(self) -> None:
        for words in self._evidence.diary:
            if words[0] == "overlap" and not self._is_explained_by_failover(words[1], int(words[2])):
                self._complain(f"task {words[1]}: run {words[2]} began while another still ran")

    def _judge_limits(self) -> None:
        ledger = LimitLedger(self._evidence.diary, self._runs, self._evidence.lost_commits)
        self.complaints += ledger.complaints()
        self.counts += ledger.counts()

    def _judge_flows(self) -> None:
        ledger = FlowLedger(self._evidence, self._runs)
        self.complaints += ledger.complaints()
        self.counts += ledger.counts()

    def _judge_steps(self) -> None:
        ledger = StepLedger(self._evidence)
        self.complaints += ledger.complaints()
        self.counts += ledger.counts()

    def _judge_row(self, row: Row) -> None:
        runs = self._runs.get(row.id, [])
        charged = [attempt for attempt in self._attempts[row.id] if attempt.cause not in UNCHARGED]
        comes_late = row.status == "new" and not runs and row.external_id.startswith("tick:")
        if row.status not in TERMINAL and not comes_late:
            self._complain(f"task {row.id} is {row.status} for ever")
        if row.attempts != len(charged):
            self._complain(f"task {row.id} has attempts {row.attempts}, and {len(charged)} are recorded")
        for attempt in charged:
            self._explain_attempt(row, attempt, runs)
        if row.status == "done":
            self._explain_done(row, runs)

    def _judge_rest(self, row: Row) -> None:
        runs = self._runs.get(row.id, [])
        for run in runs:
            if not run.reason:
                self._explain_rest(row, run, runs)

    def _explain_attempt(self, row: Row, attempt: Attempt, runs: list[Run]) -> None:
        root = re.search(r"supervisor pid (\d+)", attempt.error)
        open_runs = [run for run in runs if not run.reason]
        if attempt.cause == "lost":
            mine = [run for run in open_runs if root is None or run.root == int(root[1])]
        else:
            mine = [run for run in open_runs if run.pid == attempt.pid]
        if mine:
            endings = ENDINGS[attempt.cause]
            mine.sort(key=lambda run: (_place_of(run.how, endings), run.how in PUT_OFF))
            mine[0].reason = CHARGED_AS_LOST if attempt.cause == "lost" else "charged"
            self._judge_cause(mine[0], attempt)
            return
        killed = attempt.cause == "lost" or attempt.pid in self._evidence.killed or self._excused(attempt.pid)
        self.counts["charged before the first line"] += 1
        if not killed:
            self._complain(f"task {row.id} was charged without a run: {attempt.cause} {attempt.error[:80]!r}")

    def _judge_cause(self, run: Run, attempt: Attempt) -> None:
        """Check that the error of a crash states how the process died, unless something else could have killed it."""
        others = [other for other in self._by_pid[run.pid] if other is not run and not other.how]
        if attempt.cause == "crash" and not others and run.pid not in self._evidence.killed:
            says = DEATHS.get((run.temper, run.number), "")
            if says not in attempt.error:
                self._complain(
                    f"task {run.task} ({run.temper}) died by {says!r}, and is charged: {attempt.error}"
                )

    def _explain_done(self, row: Row, runs: list[Run]) -> None:
        succeeded = [run for run in runs if not run.reason and run.how == "ok"]
        if succeeded:
            succeeded[-1].reason = "done"
        elif not any(run.how == "ok" and run.reason == CHARGED_AS_LOST for run in runs):
            self._complain(f"task {row.id} is done without a success in the diary")

    def _explain_rest(self, row: Row, run: Run, runs: list[Run]) -> None:
        if run.how in PUT_OFF:
            run.reason = "snoozed"
        elif row.status == "canceled" and run is runs[-1]:
            run.reason = "canceled"
        else:
            after = next((later.began for later in runs if later.began > run.began), None)
            run.reason = self._excuse(run, after)
        if not run.reason:
            run.reason = "unexplained"
            end = f"ended {run.how}" if run.how else "did not end"
            self._complain(
                f"task {row.id} ({run.temper}): run {run.number} in pid {run.pid} {end}, and nothing explains it"
            )

    def _excuse(self, run: Run, before: float | None) -> str:
        """Return the reason why a run was given back between its start and the task's next run, or an empty text."""
        latest = float("inf") if before is None else before + SLACK
        for excuse in self._evidence.excuses:
            early = ORPHANS_END if excuse.reason == LOST else SLACK
            if excuse.pid in (run.pid, run.root) and run.began - early <= excuse.time <= latest:
                return excuse.reason
        if run.pid in self._interrupted:
            return "its worker was ended because of another task"
        return IN_A_FAILOVER if any(lost.explains(run) for lost in self._evidence.lost_commits) else ""

    def _is_explained_by_failover(self, task: str, number: int) -> bool:
        """Whether a run began beside another run whose claim was lost."""
        runs = [run for run in self._runs[task] if run.number == number]
        return any(lost.explains(run) for run in runs for lost in self._evidence.lost_commits)

    def _workers_ended_for_one(self) -> set[int]:
        """Return the workers that were ended because of one task; their other tasks ran again.

        The task timed out, was canceled, or a failover lost it or its claim, so that its handler was stopped.
        """
        timed_out = {attempt.pid for attempt in self._evidence.attempts if attempt.cause == "timeout"}
        stopped = {row.id for row in self._evidence.rows if row.status == "canceled"}
        stopped.update(task for lost in self._evidence.lost_commits for task in lost.tasks)
        unended = [run for run in self._all_runs() if not run.how]
        return timed_out | {
            run.pid
            for run in unended
            if run.task in stopped or any(lost.explains(run) for lost in self._evidence.lost_commits)
        }

    def _excused(self, pid: int) -> bool:
        roots = {run.root for run in self._by_pid[pid]}
        return any(excuse.pid in roots for excuse in self._evidence.excuses)

    def _judge_blame(self) -> None:
        """Check that a task charged with a crash was in a worker that had a reason to crash."""
        guilty = {run.pid for run in self._all_runs() if run.temper in CRASHING | STUCK}
        for attempts in self._attempts.values():
            for attempt in attempts:
                if attempt.cause == "crash" and attempt.pid not in guilty | set(self._evidence.killed):
                    self._complain(
                        f"task {attempt.task} is charged with a crash of pid {attempt.pid}, which had no reason: "
                        f"{attempt.error}"
                    )

    def _judge_windows(self) -> None:
        for root, count in Counter(run.root for run in self._all_runs() if run.reason == LOST).items():
            if count > MAX_IN_A_WINDOW:
                self._complain(f"{count} runs of supervisor {root} were not charged when it was killed")

    def _all_runs(self) -> Iterable[Run]:
        return (run for runs in self._runs.values() for run in runs)

    def _count(self) -> None:
        self.counts.update(f"tasks {row.status}" for row in self._evidence.rows)
        self.counts.update(f"runs {run.reason}" for run in self._all_runs())
        self.counts.update(f"attempts {attempt.cause}" for attempt in self._evidence.attempts)
        self.counts["runs"] = sum(1 for _ in self._all_runs())
        self.counts["tasks"] = len(self._evidence.rows)
        for lost in self._evidence.lost_commits:
            self.counts["failovers"] += 1
            self.counts["tasks lost in a failover"] += len(lost.tasks)
            self.counts["tasks set back by a failover"] += len(lost.moves)


def _place_of(how: str, endings: Sequence[str]) -> int:
    return endings.index(how) if how in endings else len(endings)
