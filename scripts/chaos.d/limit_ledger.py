"""Judge from the diary whether limits held. No I/O here.

No run may have found all places of its limit taken, and starts must have kept to their rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from chaos_limits import PACE
from evidence import NOTICED_WITHIN, LostCommits, Run

LATE: Final = 10.0
"""Seconds that may pass from a claim, which the rate counts, to the handler's first line: a process may be stopped."""


class LimitLedger:
    """What handlers of limited types wrote.

    Args:
        diary: the words of each line.
        runs: the runs of each task.
        lost_commits: what each failover lost.
    """

    def __init__(
        self,
        diary: Sequence[list[str]],
        runs: Mapping[str, Sequence[Run]],
        lost_commits: Sequence[LostCommits],
    ) -> None:
        self._diary = diary
        self._runs = {(run.task, run.number): run for of_task in runs.values() for run in of_task}
        self._lost_commits = lost_commits

    def complaints(self) -> Iterator[str]:
        """Yield a text for each run that was one too many, and for each start that came too soon."""
        for words in self._diary:
            if words[0] == "toomany" and not self._is_explained_by_failover(*words[1:]):
                yield f"{words[1]}: run {words[3]} of task {words[2]} began while all places were taken"
        yield from self._starts_too_soon()

    def counts(self) -> Counter[str]:
        """Return how many places of each name were taken at the same time at most, and how many starts were paced."""
        most: Counter[str] = Counter()
        for words in self._diary:
            if words[0] == "place":
                name = f"most at once of {words[1]}"
                most[name] = max(most[name], int(words[2]) + 1)
            most["paced starts"] += words[0] == "paced"
        return most

    def _is_explained_by_failover(self, name: str, task: str, number: str, time: str) -> bool:
        """Whether the claim of this run, or of one that held a place then, is among what a failover lost."""
        holders = [(words[3], int(words[4])) for words in self._diary if words[:2] == ["place", name]]
        runs = [self._runs[key] for key in [(task, int(number)), *holders] if key in self._runs]
        then = float(time)
        return any(
            run.task in lost.tasks or lost.explains(run)
            for lost in self._lost_commits
            if then <= lost.time + NOTICED_WITHIN
            for run in runs
            if run.began <= then and (not run.how or then <= run.ended)
        )

    def _starts_too_soon(self) -> Iterator[str]:
        """Follow the starts by the algorithm of rates, with the burst that late starts can add.

        A failover may lose how far the starts were, so the algorithm begins anew then.
        """
        tolerance = PACE.tolerance + LATE
        failovers = [lost.time + NOTICED_WITHIN for lost in self._lost_commits]
        arrival = 0.0
        for start in sorted(float(words[1]) for words in self._diary if words[0] == "paced"):
            if any(0 <= until - start <= NOTICED_WITHIN + LATE for until in failovers):
                arrival = start
                continue
            arrival = max(arrival, start) + PACE.interval
            if arrival - start > tolerance + PACE.interval / 2:
                yield f"a task of paced began at {start:.3f}, before the rate {PACE} allows it"
