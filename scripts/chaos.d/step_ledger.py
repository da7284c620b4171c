"""Judge from the diary whether recorded steps held. No I/O here.

A step that has returned to its handler is recorded. No later run may call its function again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evidence import Evidence


class StepLedger:
    """What became of steps: each is a task and a name, with the numbers of the runs in which it was called and kept.

    Args:
        evidence: the facts.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._called: dict[tuple[str, str], list[int]] = {}
        self._kept: dict[tuple[str, str], int] = {}
        touched = {task for one in evidence.lost_commits for task in one.tasks | one.moves}
        for words in evidence.diary:
            match words:
                case ["step", task, run, name, _time] if task not in touched:
                    self._called.setdefault((task, name), []).append(int(run))
                case ["kept", task, run, name, _time] if task not in touched:
                    self._kept[task, name] = min(int(run), self._kept.get((task, name), int(run)))

    def complaints(self) -> Iterator[str]:
        """Yield a text for each step that was called again although it was recorded."""
        for (task, name), kept in self._kept.items():
            again = [run for run in self._called.get((task, name), ()) if run > kept]
            if again:
                yield f"step {name} of task {task} was recorded in run {kept}, and called again in run {again[0]}"

    def counts(self) -> Counter[str]:
        """Return how many steps were recorded, and how many of those were called more than once before."""
        again = sum(len(self._called.get(step, ())) > 1 for step in self._kept)
        return Counter(
            {"steps recorded": len(self._kept), "steps called again before they were recorded": again}
        )
