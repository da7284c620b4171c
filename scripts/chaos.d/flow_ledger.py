"""Judge from the diary and the tables whether flows and follow-ups held. No I/O here.

No dependent may have begun before its needs ended, or have run although a need failed; that none waits for ever is
judged with all other tasks. Each success of a handler that leaves a follow-up behind left exactly one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from evidence import Evidence, Run

FOLLOWED: Final = "after:"
"""How the external ids of follow-ups begin; then comes the id of the task that left them."""


class FlowLedger:
    """What became of the tasks of flows, and of follow-ups.

    Args:
        evidence: the facts.
        runs: the runs of each task.
    """

    def __init__(self, evidence: Evidence, runs: Mapping[str, Sequence[Run]]) -> None:
        self._evidence = evidence
        self._runs = runs
        self._rows = {row.id: row for row in evidence.rows}
        lost = evidence.lost_commits
        self._touched = {task for one in lost for task in one.tasks | one.moves}

    def complaints(self) -> Iterator[str]:
        """Yield a text for each dependent that ran too early or in vain, and for each follow-up too many or too few."""
        for task, need, wants in self._evidence.edges:
            if task not in self._touched and need not in self._touched:
                yield from self._judge_edge(task, need, wants)
        yield from self._judge_follow_ups()

    def counts(self) -> Counter[str]:
        """Return how many needs and follow-ups were judged."""
        followed = sum(row.external_id.startswith(FOLLOWED) for row in self._evidence.rows)
        return Counter({"needs": len(self._evidence.edges), "follow-ups": followed})

    def _judge_edge(self, task: str, need: str, wants: str) -> Iterator[str]:
        if task not in self._rows or need not in self._rows:
            return
        began = min((run.began for run in self._runs.get(task, ())), default=None)
        if self._rows[need].status == "done":
            ended = min((run.ended for run in self._runs.get(need, ()) if run.how == "ok"), default=None)
            if began is not None and (ended is None or began < ended):
                yield f"task {task} began before task {need}, which it needs, had ended"
        elif wants == "done" and began is not None:
            yield f"task {task} ran although task {need}, which it needs, is {self._rows[need].status}"
        elif wants == "done" and self._rows[task].status != "canceled":
            yield f"task {task} is {self._rows[task].status} although task {need} is {self._rows[need].status}"

    def _judge_follow_ups(self) -> Iterator[str]:
        external_ids = {row.external_id for row in self._evidence.rows}
        tempers = {run.task: run.temper for runs in self._runs.values() for run in runs}
        for row in self._evidence.rows:
            follows = tempers.get(row.id) == "following" and row.id not in self._touched
            if follows and row.status == "done" and FOLLOWED + row.id not in external_ids:
                yield f"task {row.id} is done, and its follow-up is not in the table"
            if follows and row.status != "done" and FOLLOWED + row.id in external_ids:
                yield f"task {row.id} is {row.status}, and its follow-up is in the table"
        for attempt in self._evidence.attempts:
            if "DuplicateTaskError" in attempt.error and attempt.task not in self._touched:
                yield f"an attempt of task {attempt.task} left a follow-up and did not end well: {attempt.error[:120]}"
