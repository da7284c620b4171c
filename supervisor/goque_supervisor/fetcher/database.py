"""A fetcher's calls to the database: when one fails, the fetcher waits and loses nothing."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from goque.errors import DatabaseUnavailableError
from goque.execution.error_texts import named_message_of
from goque.outcome import Change, OutcomeKind, settle
from goque.steps.question import Answer, Progress, Question
from goque.storage import TaskStorage
from goque.storage.contract import Claim, ClaimNews, DueLevel, HeldBack
from goque.storage.in_halves import write_in_halves
from goque.task_row import TaskRow, Token
from goque.telemetry import tracing
from goque_supervisor.fetcher.claim_thread import ClaimThread
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.ipc.box_records import can_record
from goque_supervisor.ipc.control import Message
from goque_supervisor.ipc.failpoints import reached
from goque_supervisor.outage import Outage
from goque_supervisor.recovery.unheld_claims import release_unheld

log = logging.getLogger("goque.fetcher")

AnswerT = TypeVar("AnswerT")
MAX_PAUSE: Final = 2.0
MAX_TAKEN_OVER: Final = 100_000
PROVE_PERIOD: Final = 3.0


Settled = tuple[ClaimedTask, Change, bool]
"""A task, what was to be written of its end, and whether it was written."""


class _Claimed(NamedTuple):
    """What one claim got: the tasks, the seconds that it took, and when it began if there is a span of it."""

    rows: list[TaskRow]
    took: float
    traced: int


class TaskDatabase:
    """Reads and writes the rows of one pool; after a failure it makes no call for a while.

    Attributes:
        retry_at: before this time no call is made.
        claim_thread: with it, if it is ready, `settle_and_claim` can be called.
        has_recovered: whether the database has answered again after a failure, which may have been a failover.
    """

    def __init__(
        self,
        storage: TaskStorage,
        types: PoolTypes,
        fetch_timeout: float,
        counters: PoolCounters,
        send: Callable[[Message], None],
    ) -> None:
        self._storage = storage
        self._types = types
        self._fetch_timeout = fetch_timeout
        self._counters = counters
        self._answered_at = 0.0
        self._outage = Outage(send, log)
        self.claim_thread = ClaimThread(storage)
        self.retry_at = 0.0
        self.has_recovered = False

    def settle(self, batch: list[ClaimedTask], owner: str) -> list[Settled] | None:
        """Write how tasks ended; returns each with its change and whether it was written, None on a failure."""
        policy_of = self._types.retry_policy
        ended = [task for task in batch if task.outcome is not None]
        changes = [
            settle(task.outcome, task.row, policy_of(task.row.type), task.app_version)
            for task in ended
            if task.outcome is not None
        ]
        traced = tracing.started()
        answer = self._ask(lambda: self._write(changes, owner))
        if answer is None:
            return None
        written, refused = answer
        if traced:
            tracing.tell_by_type("settle", [task.row for task in ended], traced)
            _end_lost_spans(ended)
        if refused:
            changes = [refused.get(change.token, change) for change in changes]
            _note_refused(ended, refused)
        if len(written) == len(changes):
            return [(task, change, True) for task, change in zip(ended, changes, strict=True)]
        return [(task, change, change.token in written) for task, change in zip(ended, changes, strict=True)]

    def claim(self, wanted: Sequence[Claim], owner: str) -> list[TaskRow] | None:
        """Claim tasks of some types, of each up to its limit; returns None on a failure."""
        return self._rows_of(self._ask(lambda: self._claim(wanted, owner)), wanted)

    def settle_and_claim(
        self, batch: list[ClaimedTask], wanted: Sequence[Claim], owner: str
    ) -> tuple[list[Settled] | None, list[TaskRow] | None]:
        """Do both at the same time; returns None for each that fails.

        If the settlement fails, a later claim returns what was claimed. It may have put back a task that was then
        claimed, and that is still in flight here.
        """
        claim = self.claim_thread.start(lambda: self._claim(wanted, owner))
        settled = self.settle(batch, owner)
        if error := claim.exception():
            self.claim_thread.rest(time.monotonic())
            if not isinstance(error, DatabaseUnavailableError):
                raise error
        if settled is None:
            if not error:
                self._storage.doubt(claim.result().rows)
            return None, None
        return settled, self._rows_of(self._ask(claim.result), wanted)

    def _claim(self, wanted: Sequence[Claim], owner: str) -> _Claimed:
        began, traced = time.perf_counter(), tracing.started()
        reached("claim.before")
        rows = self._storage.claim_in_turns(wanted, owner, timeout=self._fetch_timeout)
        if rows:
            reached("claim.after_commit")
        return _Claimed(rows, time.perf_counter() - began, traced)

    def _rows_of(self, claimed: _Claimed | None, wanted: Sequence[Claim]) -> list[TaskRow] | None:
        if claimed is None:
            return None
        for one in wanted:
            self._counters[one.type].observe("fetch", claimed.took)
        if claimed.rows and claimed.traced:
            tracing.tell_by_type("claim", claimed.rows, claimed.traced)
        return claimed.rows

    def held_back(self, task_type: str) -> HeldBack | None:
        """Return why the last claim of a type left tasks that are due, None if limits had no part in it."""
        return self._storage.held_back(task_type)

    def is_limited(self, task_type: str) -> bool:
        """Return whether claims of a type go by limits or by turns."""
        return self._storage.is_limited(task_type)

    def announce_places(self, types: Sequence[str]) -> None:
        """Tell other nodes that places of these types are free, where the database can."""
        self._ask(lambda: self._storage.announce_places(types) or True)

    def seconds_until_due(self, task_type: str) -> float | None:
        """Return the seconds until the next task of a type is due: infinity if none waits, None on a failure."""

        def ask() -> float:
            due = self._storage.seconds_until_due(task_type)
            return math.inf if due is None else due

        return self._ask(ask)

    def due_levels(self) -> list[DueLevel] | None:
        """Return when the next task of each type and priority is due, None on a failure."""
        return self._ask(lambda: self._storage.due_levels(self._types.names))

    def prove_reachable(self, now: float) -> None:
        """Make a round trip if the last is too old, so that readiness is known even when there is no work."""
        if now - self._answered_at > PROVE_PERIOD:
            self._ask(self._storage.ping)

    def answer_steps(self, asked: Sequence[tuple[Token, Question]]) -> list[Answer] | None:
        """Answer questions of handlers about their steps; returns None on a failure."""
        return self._ask(lambda: self._storage.answer_steps(asked)) if asked else []

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

    def write_progress(self, reported: list[tuple[Token, Progress]]) -> bool:
        """Write how far running tasks are; returns whether the database has answered."""

        def write() -> bool:
            self._storage.write_progress(reported)
            return True

        return self._ask(write) is True

    def claim_news(self, owner: str) -> ClaimNews | None:
        """Return our claims whose rows another process has changed, and what it asks about them; None on a failure."""
        return self._ask(lambda: self._storage.claim_news(owner, self._types.only))

    def answer_stacks(self, answers: Sequence[tuple[str, str]]) -> bool:
        """Write answers to requests for stacks; returns whether the database has answered."""
        return self._ask(lambda: self._storage.answer_stacks(answers) or True) is True

    def claims(self, owners: list[str]) -> tuple[list[Token], set[Token]] | None:
        """Return the claims of these owners, and the claims in doubt; None on a failure."""

        def ask() -> tuple[list[Token], set[Token]]:
            held = [
                claim for owner in owners for claim in self._storage.claims_of_owner(owner, self._types.only)
            ]
            return [
                claim.token for claim in held if claim.type in self._types
            ], self._storage.claims_in_doubt()

        return self._ask(ask)

    def release_unheld(self, tokens: list[Token]) -> set[Token] | None:
        """Release claims that no worker has; returns those that were released, None on a failure."""
        return self._ask(lambda: release_unheld(self._storage, tokens))

    def rows(self, ids: list[str]) -> list[TaskRow] | None:
        """Return these tasks as they are in the table, None on a failure."""
        found = self._ask(lambda: [self._storage.get_task(task_id) for task_id in ids])
        return None if found is None else [row for row in found if row is not None]

    def move_claims(self, tokens: list[Token], owner: str) -> set[Token] | None:
        """Publish the policies again, and write a new owner into claims; returns its claims, None on a failure."""

        def write() -> set[Token]:
            self._storage.publish_types(self._types.policies())
            if not tokens:
                return set()
            self._storage.move_claims(tokens, owner)
            return {held.token for held in self._storage.claims_of_owner(owner, self._types.only)}

        return self._ask(write)

    def take_over(self, owners: list[str]) -> list[TaskRow] | None:
        """Publish the policies of the types and return all tasks claimed under these names, None on a failure.

        A claim that no black box can record was written by others, and no worker has it: the reconciler returns it.
        """

        def take_over() -> list[TaskRow]:
            self._storage.publish_types(self._types.policies())
            held = [
                self._storage.claimed_by_owner(owner, self._types.only, limit=MAX_TAKEN_OVER)
                for owner in owners
                if owner
            ]
            return [
                row
                for rows in held
                for row in rows
                if row.type in self._types and can_record(row.id, row.claims)
            ]

        return self._ask(take_over)

    def is_away(self, now: float) -> bool:
        """Return whether no call is made now, because the last one failed."""
        return now < self.retry_at

    def failed(self, error: DatabaseUnavailableError) -> None:
        """Record that the database did not answer, and decide when to try again."""
        self._outage.failed(str(error))
        longest = min(MAX_PAUSE, 0.05 * 2.0 ** min(self._outage.failures, 10))
        self.retry_at = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries

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
        if self._outage.answered():
            self.has_recovered = True
        return answer

    def _write(self, changes: list[Change], owner: str) -> tuple[set[Token], dict[Token, Change]]:
        """Write changes; one that the database rejects is written without its texts and result.

        Returns: the claims whose change is written; and the changes of those that failed instead of succeeding,
            because a follow-up could not be inserted.
        """
        refused: dict[Token, Change] = {}

        def write(these: Sequence[Change]) -> set[Token]:
            reached("settle.before")
            written = self._storage.settle_if_held(these, node=owner)
            reached("settle.after_commit")
            return written

        def write_alone(change: Change, error: Exception) -> set[Token]:
            if change.success is None:
                return self._write_bare(change, owner, error)
            failed = refused[change.token] = change.success.refused(named_message_of(error))
            return write([failed])

        return write_in_halves(changes, write, write_alone), refused

    def _write_bare(self, change: Change, owner: str, error: Exception) -> set[Token]:
        log.error(
            "cannot write the outcome of a task: trying again without its error texts and result",
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
                "cannot write even the status of a task: the task stays claimed until this node ends",
                extra={"task_id": bare.token.task_id},
            )
            return set()


def _note_refused(ended: Iterable[ClaimedTask], refused: Mapping[Token, Change]) -> None:
    """Let tasks have the outcome that was written."""
    for task in ended:
        change = refused.get(task.row.token)
        if change is not None and change.failed is not None and task.outcome is not None:
            task.outcome = msgspec.structs.replace(
                task.outcome, kind=OutcomeKind.FAILED, error=change.failed.error, result=None, follow_ups=()
            )


def _end_lost_spans(batch: Iterable[ClaimedTask]) -> None:
    """Make the spans of handlers whose process died before it could export them."""
    for task in batch:
        if task.outcome is not None and task.outcome.crash is not None:
            tracing.tell_lost(task.row, task.outcome)
