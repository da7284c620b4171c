"""`goque replay --failed`: which of the failed tasks would succeed now, and which fail in another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

import click

from goque.cli.output import print_json, shortened
from goque.cli.replay.report import describe_end, replayed_json
from goque.cli.replay.tasks import Found
from goque.describe.same_failure import is_same_failure
from goque.outcome import OutcomeKind
from goque.task_rules.failed_attempt import FailedAttempt
from goque.telemetry.logs import one_line
from goque_supervisor.replay.result import Replayed

CAUSE: Final = 48
"""The columns of a cause."""

PUT_OFF: Final = (OutcomeKind.SNOOZED, OutcomeKind.WAITING, OutcomeKind.RATE_LIMITED)


class Verdict(StrEnum):
    """What a replay says of a failed task."""

    FIXED = "fixed"
    SAME = "same failure"
    NEW = "new failure"
    PUT_OFF = "put off"
    CANCELED = "canceled"


def verdict_of(replayed: Replayed, last: FailedAttempt | None) -> Verdict:
    """Compare the end of a replay with the last failed attempt of its task."""
    kind = replayed.outcome.kind
    if kind is OutcomeKind.DONE:
        return Verdict.FIXED
    if kind is OutcomeKind.CANCELED:
        return Verdict.CANCELED
    if kind in PUT_OFF:
        return Verdict.PUT_OFF
    failed = replayed.failed
    is_same = failed is not None and last is not None and is_same_failure(last, failed)
    return Verdict.SAME if is_same else Verdict.NEW


def print_verdicts(results: Iterable[tuple[Replayed, Found]]) -> Counter[Verdict]:
    """Print a line for each replay as soon as it has ended; return how many there are of each verdict."""
    counts: Counter[Verdict] = Counter()
    for line in _lines(results, counts):
        click.echo(line.rstrip())
    return counts


def _lines(results: Iterable[tuple[Replayed, Found]], counts: Counter[Verdict]) -> Iterator[str]:
    for replayed, found in results:
        if not counts:
            yield f"{'VERDICT':<12}  {'ID':<36}  {'BEFORE':<{CAUSE}}  NOW"
        verdict = verdict_of(replayed, found.last)
        counts[verdict] += 1
        before = shortened(one_line(cause_of(found.last)), CAUSE)
        yield f"{verdict:<12}  {found.row.id:<36}  {before:<{CAUSE}}  {one_line(_end_of(replayed))}"


def _end_of(replayed: Replayed) -> str:
    if replayed.has_succeeded:
        return "succeeded"
    return cause_of(replayed.failed) if replayed.failed is not None else describe_end(replayed)


def cause_of(failed: FailedAttempt | None) -> str:
    """Return the first line of the error of an attempt."""
    return "-" if failed is None else failed.error.partition("\n")[0] or failed.cause


def print_verdicts_json(results: Iterable[tuple[Replayed, Found]]) -> Counter[Verdict]:
    """Print a JSON object for each replay; return how many there are of each verdict."""
    counts: Counter[Verdict] = Counter()
    for replayed, found in results:
        verdict = verdict_of(replayed, found.last)
        counts[verdict] += 1
        print_json({"verdict": verdict.value, **replayed_json(replayed, found.last)})
    return counts


def summary_of(counts: Counter[Verdict]) -> str:
    """Say how many tasks were replayed, and what came of it."""
    parts = [f"{counts[verdict]:,} {verdict}" for verdict in Verdict if counts[verdict] or verdict in ALWAYS]
    tasks = "1 task" if counts.total() == 1 else f"{counts.total():,} tasks"
    return f"{tasks} replayed: {', '.join(parts)}; nothing was written to goque's tables"


ALWAYS: Final = (Verdict.FIXED, Verdict.SAME, Verdict.NEW)
