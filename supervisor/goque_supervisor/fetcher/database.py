"""A fetcher's calls to the database: when one fails, the fetcher waits and loses nothing."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from goque.errors import DatabaseUnavailableError
from goque.options import ProcessorOptions
from goque.outcome import Change, settle
from goque.storage import TaskStorage
from goque.storage.contract import policy_of
from goque.storage.in_halves import write_in_halves
from goque.task import TaskRow, Token
from goque.telemetry import tracing
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.ipc.blackbox import can_record
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.metrics.counters import Counters
from goque_supervisor.recovery.unheld_claims import release_unheld

log = logging.getLogger("goque.fetcher")

AnswerT = TypeVar("AnswerT")
MAX_PAUSE: Final = 2.0
MAX_TAKEN_OVER: Final = 100_000
PROVE_PERIOD: Final = 3.0
OUTAGE_LOG_PERIOD: Final = 60.0


class TaskDatabase:
    """Reads and writes the rows of one type; after a failure it makes no call for a while.

    Attributes:
        retry_at: before this time no call is made.
        has_recovered: whether the database has answered again after a failure, which may have been a failover.
    """

    def __init__(
        self, storage: TaskStorage, task_type: str, options: ProcessorOptions, counters: Counters
    ) -> None:
        self._storage = storage
        self._type = task_type
        self._options = options
        self._counters = counters
        self._answered_at = 0.0
        self._failures = 0
        self._outage = ""
        self._outage_logged_at = 0.0
        self.retry_at = 0.0
        self.has_recovered = False

    def settle(self, batch: list[ClaimedTask], owner: str) -> list[tuple[ClaimedTask, Change, bool]] | None:
        """Write how tasks ended; returns each with its change and whether it was written, None on a failure."""
        policy = self._options.retry_policy
        changes = [
            (task, settle(task.outcome, task.row, policy)) for task in batch if task.outcome is not None
        ]
        traced = tracing.started()
        written = self._ask(lambda: self._write([change for _task, change in changes], owner))
        if written is None:
            return None
        if traced:
            tracing.tell("settle", self._type, [task.row for task, _change in changes], traced)
            _end_lost_spans(task for task, _change in changes)
        return [(task, change, change.token in written) for task, change in changes]

    def claim(self, owner: str, limit: int) -> list[TaskRow] | None:
        """Claim up to `limit` tasks; returns None on a failure."""

        def claim() -> list[TaskRow]:
            reached("claim.before")
            rows = self._storage.claim_due(self._type, owner, limit, timeout=self._options.fetch_timeout)
            if rows:
                reached("claim.after_commit")
            return rows

        began, traced = time.perf_counter(), tracing.started()
        claimed = self._ask(claim)
        if claimed is not None:
            self._counters.observe("fetch", time.perf_counter() - began)
            if claimed:
                tracing.tell("claim", self._type, claimed, traced)
        return claimed

    def seconds_until_due(self) -> float | None:
        """Return the seconds until the next task is due: infinity if none waits, None on a failure."""

        def ask() -> float:
            due = self._storage.seconds_until_due(self._type)
            return math.inf if due is None else due

        return self._ask(ask)

    def prove_reachable(self, now: float) -> None:
        """Make a round trip if the last is too old, so that readiness is known even when there is no work."""
        if now - self._answered_at > PROVE_PERIOD:
            self._ask(self._storage.ping)

    def mark_processing(self, tasks: list[ClaimedTask]) -> None:
        """Write that tasks run, so that `goque list` and the dashboard show it."""
        tokens = [task.row.token for task in tasks]

        def mark() -> bool:
            reached("mark.before")
            self._storage.mark_processing(tokens)
            return True

        if self._ask(mark):
            for task in tasks:
                task.marked = True

    def changed_by_others(self, owner: str) -> list[Token] | None:
        """Return our claims whose rows another process has changed, None on a failure."""
        return self._ask(lambda: self._storage.changed_by_others(owner, self._type))

    def claims(self, owners: list[str]) -> tuple[list[Token], set[Token]] | None:
        """Return the claims of these owners, and the claims in doubt; None on a failure."""

        def ask() -> tuple[list[Token], set[Token]]:
            found = [
                held.token for owner in owners for held in self._storage.claims_of_owner(owner, self._type)
            ]
            return found, self._storage.claims_in_doubt()

        return self._ask(ask)

    def release_unheld(self, tokens: list[Token]) -> set[Token] | None:
        """Release claims that no worker has; returns those that were released, None on a failure."""
        return self._ask(lambda: release_unheld(self._storage, tokens))

    def rows(self, ids: list[str]) -> list[TaskRow] | None:
        """Return these tasks as they are in the table, None on a failure."""
        found = self._ask(lambda: [self._storage.get_task(task_id) for task_id in ids])
        return None if found is None else [row for row in found if row is not None]

    def move_claims(self, tokens: list[Token], owner: str) -> set[Token] | None:
        """Publish the type's policy again, and write a new owner into claims; returns its claims, None on a failure."""

        def write() -> set[Token]:
            self._storage.publish_types([policy_of(self._type, self._options)])
            if not tokens:
                return set()
            self._storage.move_claims(tokens, owner)
            return {held.token for held in self._storage.claims_of_owner(owner, self._type)}

        return self._ask(write)

    def take_over(self, owners: list[str]) -> list[TaskRow] | None:
        """Publish the type's policy and return all tasks claimed under these names, None on a failure.

        A claim that no black box can record was written by others, and no worker has it: the reconciler returns it.
        """

        def take_over() -> list[TaskRow]:
            self._storage.publish_types([policy_of(self._type, self._options)])
            held = [
                self._storage.claimed_by_owner(owner, self._type, limit=MAX_TAKEN_OVER)
                for owner in owners
                if owner
            ]
            return [row for rows in held for row in rows if can_record(row.id, row.claims)]

        return self._ask(take_over)

    def is_away(self, now: float) -> bool:
        """Return whether no call is made now, because the last one failed."""
        return now < self.retry_at

    def failed(self, error: DatabaseUnavailableError) -> None:
        """Record that the database did not answer, and decide when to try again."""
        self._failures += 1
        pause = min(MAX_PAUSE, 0.05 * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
        self.retry_at = time.monotonic() + pause
        self._log_outage(str(error))

    def _log_outage(self, why: str) -> None:
        """Log that the database is not available: at once, when the reason changes, and once a minute."""
        now = time.monotonic()
        is_news = why != self._outage or now - self._outage_logged_at >= OUTAGE_LOG_PERIOD
        if is_news:
            self._outage, self._outage_logged_at = why, now
        log.log(
            logging.WARNING if is_news else logging.DEBUG,
            "the database is not available (%s): results are kept, nothing is claimed",
            why,
        )

    def _ask(self, call: Callable[[], AnswerT]) -> AnswerT | None:
        if self.is_away(time.monotonic()):
            return None
        try:
            answer = call()
        except DatabaseUnavailableError as error:
            self.failed(error)
            return None
        self._answered_at = time.monotonic()
        self._counters.database_answered()
        if self._failures:
            log.info("the database answers again after %d failed tries", self._failures)
            self._failures = 0
            self._outage = ""
            self.has_recovered = True
        return answer

    def _write(self, changes: list[Change], owner: str) -> set[Token]:
        """Write changes; one that the database rejects is written without its texts and result."""

        def write(these: Sequence[Change]) -> set[Token]:
            reached("settle.before")
            written = self._storage.settle_if_held(these, node=owner)
            reached("settle.after_commit")
            return written

        return write_in_halves(changes, write, lambda change, error: self._write_bare(change, owner, error))

    def _write_bare(self, change: Change, owner: str, error: Exception) -> set[Token]:
        log.error(
            "the outcome of a task cannot be written: it is written without its texts and result",
            exc_info=error,
            extra={"task_id": change.token.task_id},
        )
        bare = msgspec.structs.replace(change, errors=None, result=None, failed=None)
        try:
            return self._storage.settle_if_held([bare], node=owner)
        except DatabaseUnavailableError:
            raise
        except Exception:
            log.exception(
                "the outcome of a task cannot be written at all: it stays claimed until this node has ended",
                extra={"task_id": bare.token.task_id},
            )
            return set()


def _end_lost_spans(batch: Iterable[ClaimedTask]) -> None:
    """Make the spans of handlers whose process died before it could export them."""
    for task in batch:
        if task.outcome is not None and task.outcome.crash is not None:
            tracing.tell_lost(task.row, task.outcome)
