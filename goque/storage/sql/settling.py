"""Write the outcomes of tasks in batches, each once, and only while the claim still holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from goque.outcome import Change
from goque.storage.instants import later
from goque.storage.sql.batches import claims_by_owner
from goque.storage.sql.call_policy import PINNED_STATEMENT, PINNED_WRITE, WRITE
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.failures.counting import count_failures
from goque.storage.sql.flows.advance import AdvanceSteps
from goque.storage.sql.flows.follow_ups import FollowUpInserts
from goque.storage.sql.flows.needed_results import keep_results, needed_by_flows, tell_missing
from goque.storage.sql.limits.limited_types import LimitedTypes
from goque.storage.sql.recorded_steps.waits import SignaledWaits
from goque.storage.sql.runner import PATIENCE, SqlRunner
from goque.storage.sql.session import ConnectionLostError, Session
from goque.storage.sql.statements.kinds import AllOrNone, LockThenChange
from goque.storage.sql.steps import run_steps
from goque.task_row import IS_NEEDED, TaskStatus, Token
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.limits import PutOff


class _SomeLeftError(Exception):
    """A statement has not changed all that it should, and is rolled back."""


class SqlSettling(SqlRunner):
    """The part of the contract that settles claimed tasks."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._doubtful_ends: set[Token] = set()
        self._follow_ups = FollowUpInserts(dialect)
        self._advance = AdvanceSteps(dialect)
        self._waits = SignaledWaits(dialect)
        self._limited_types = LimitedTypes()

    def settle_if_held(self, changes: Sequence[Change], *, node: str | None = None) -> set[Token]:
        """Write the changes whose claim still holds and record their failed attempts, in one transaction.

        A batch of plain successes that nobody needs is one statement; what it leaves is written as anything else.
        """
        if not changes:
            return set()
        try:
            written = self._settle_by_shape(changes, node)
        except ConnectionLostError:
            self._doubtful_ends |= {change.token for change in changes}
            raise
        if self._doubtful_ends:
            written |= self._written_before([change for change in changes if change.token not in written])
            self._doubtful_ends -= {change.token for change in changes}
        return written

    def _settle_by_shape(self, changes: Sequence[Change], node: str | None) -> set[Token]:
        written: set[Token] = set()
        rest = changes
        if not self._dialect.watched:
            if deleted := {change.token for change in changes if change.is_deleted}:
                written = self._settle_unneeded(deleted, self._sql.delete_unneeded)
                rest = [change for change in changes if change.token not in written]
            if rest and all(_is_plain_done(change) and not change.is_needed for change in rest):
                written |= self._settle_unneeded({change.token for change in rest}, self._sql.settle_unneeded)
                rest = [change for change in rest if change.token not in written]
        return written | self._settle_together(rest, node) if rest else written

    def _settle_together(self, changes: Sequence[Change], node: str | None) -> set[Token]:
        woken: set[str] = set()
        needed: set[str] = set()
        written = self._run(lambda session: self._settle(session, changes, node, woken, needed), PINNED_WRITE)
        if woken:
            self._dialect.nudge(woken)
        if needed:
            tell_missing(
                change for change in changes if change.token in written and change.token.task_id in needed
            )
        return written

    def _written_before(self, changes: Sequence[Change]) -> set[Token]:
        """Return the claims that an earlier try has settled although its commit was not answered."""
        doubtful = {change.token.task_id: change for change in changes if change.token in self._doubtful_ends}
        if not doubtful:
            return set()
        batch = self._dialect.encode_list(list(doubtful))
        rows = self._run(lambda session: session.rows(self._sql.tasks_by_id, {"batch": batch}), WRITE)
        found = [(row, doubtful[row.id]) for row in map(self._dialect.read_task, rows) if row.id in doubtful]
        present = {row.id for row, _ in found}
        return {
            change.token
            for task_id, change in doubtful.items()
            if change.is_deleted and task_id not in present
        } | {
            change.token
            for row, change in found
            if row.claims == change.token.claims and not row.claimed_by and row.status == change.status
        }

    def _settle_unneeded(self, tokens: set[Token], statement: str | AllOrNone | LockThenChange) -> set[Token]:
        """Write those of some successes that nobody needs."""
        [(owner, claims), *further] = self._batches(tokens)
        if further:
            return set()
        params = {"owner": owner, "batch": self._dialect.encode_claims(claims)}
        if isinstance(statement, AllOrNone):
            return tokens if self._settle_all(statement, params, len(tokens)) else set()
        rows = self._run(lambda session: self._change(session, statement, params), PINNED_STATEMENT)
        return tokens if len(rows) == len(tokens) else self._tokens(rows, owner, claims, set())

    def _settle_all(self, statement: AllOrNone, params: dict[str, Any], number: int) -> bool:
        """Write all successes of a batch, or none; returns whether they are written."""

        def settle_all(session: Session) -> None:
            if not session.changes_all(statement.change, params, number):
                raise _SomeLeftError

        try:
            self._run(settle_all, PINNED_STATEMENT)
        except _SomeLeftError:
            return False
        return True

    def _settle(
        self,
        session: Session,
        changes: Sequence[Change],
        node: str | None,
        woken: set[str],
        needed: set[str],
    ) -> set[Token]:
        """Write changes and what follows from them.

        `woken` takes the types of tasks that may be claimed now, `needed` the tasks that others need.
        """
        plain = [change.token for change in changes if _is_plain_done(change)]
        others = [change for change in changes if not _is_plain_done(change)]
        needed |= {change.token.task_id for change in changes if change.is_needed}
        written = self._settle_done(session, plain, needed) if plain else set()
        if others:
            written |= self._settle_moves(session, others, needed)
            self._record_attempts(session, (change for change in others if change.token in written), node)
            if followed := [change for change in others if change.success and change.token in written]:
                woken |= self._follow_ups.insert(session, followed)
                needed |= needed_by_flows(followed) & {token.task_id for token in written}
            if waiting := [change for change in others if change.waits_for and change.token in written]:
                woken |= self._waits.end(session, waiting)
            for change in others:
                if change.put_off is not None and change.token in written:
                    self._put_off(session, change.put_off)
        if len(written) < len(changes):
            lost = [change.token for change in changes if change.token not in written]
            released = self._release_stale(session, lost, needed)
            self._record_attempts(session, (one for one in others if _is_killed(one, released)), node)
        if needed:
            keep_results(
                session,
                self._sql.flows,
                [change for change in changes if change.token in written and change.token.task_id in needed],
            )
            woken |= run_steps(session, self._advance.advance(sorted(needed)))
        if others:
            failed = (change for change in others if change.token in written)
            count_failures(session, self._sql.failures, failed)
        if self._dialect.watched:
            ended = (change.token for change in changes if change.status.is_terminal)
            self._dialect.notify_finished(session, [token.task_id for token in ended if token in written])
        return written

    def _put_off(self, session: Session, what: PutOff) -> None:
        """Let nothing of a type, or of a key of it, start for a while, on any node."""
        params = {
            "task_type": what.type,
            "key": what.key,
            "not_before": session.now.timestamp() + what.seconds,
        }
        session.run(self._sql.limits.insert, params)
        session.run(self._sql.limits.put_off, params)
        session.run(self._sql.limits.mark_limited, params)
        self._limited_types.put_off(what.type)

    def _settle_done(self, session: Session, tokens: Iterable[Token], needed: set[str]) -> set[Token]:
        written: set[Token] = set()
        for owner, claims in self._batches(tokens):
            written |= self._settle_batch_done(session, owner, claims, needed)
        return written

    def _settle_batch_done(
        self, session: Session, owner: str | None, claims: dict[str, int], needed: set[str]
    ) -> set[Token]:
        """Write successes; `needed` takes those that others need."""
        params = {"owner": owner, "batch": self._dialect.encode_claims(claims)}
        rows = self._change(session, self._sql.settle_done, params)
        return self._tokens(rows, owner, claims, needed)

    def _settle_moves(self, session: Session, changes: Iterable[Change], needed: set[str]) -> set[Token]:
        by_token = {change.token: change for change in changes}
        written: set[Token] = set()
        for owner, claims in self._batches(by_token):
            moves = [by_token[Token(task_id, number, owner or "")] for task_id, number in claims.items()]
            rows = self._settle_batch(session, moves, owner)
            written |= self._tokens(rows, owner, claims, needed)
        return written

    def _settle_batch(self, session: Session, moves: list[Change], owner: str | None) -> list[Sequence[Any]]:
        batch = self._dialect.encode_moves(moves, session.now)
        if len(batch) > self._dialect.largest_batch and len(moves) > 1:
            middle = len(moves) // 2
            first = self._settle_batch(session, moves[:middle], owner)
            return first + self._settle_batch(session, moves[middle:], owner)
        return [*self._change(session, self._sql.settle_moves, {"owner": owner, "batch": batch})]

    def _batches(self, tokens: Iterable[Token]) -> Iterator[tuple[str | None, dict[str, int]]]:
        return claims_by_owner(tokens, self._dialect.moves_at_once)

    def _tokens(
        self, rows: Collection[Sequence[Any]], owner: str | None, claims: dict[str, int], needed: set[str]
    ) -> set[Token]:
        text = self._dialect.read_text
        ids = [text(row[0]) for row in rows]
        needed.update(text(row[0]) for row in rows if isinstance(row[1], int) and row[1] & IS_NEEDED)
        return {Token(task_id, claims[task_id], owner or "") for task_id in ids}

    def _record_attempts(self, session: Session, changes: Iterable[Change], node: str | None) -> None:
        session.run_many(
            self._sql.insert_attempt,
            [
                {
                    **msgspec.structs.asdict(attempt),
                    "task_id": change.token.task_id,
                    "node": node,
                    "started_at": self._started_at(attempt, session.now),
                }
                for change in changes
                if (attempt := change.failed or change.went_well) is not None
            ],
        )

    def _started_at(self, attempt: FailedAttempt, now: datetime) -> Any:
        return None if attempt.duration is None else self._dialect.time(later(now, -attempt.duration))

    def _run_for_claims(self, session: Session, sql: str, tokens: Iterable[Token]) -> None:
        for owner, claims in self._batches(tokens):
            session.run(sql, {"owner": owner, "batch": self._dialect.encode_claims(claims)})

    def _release_stale(self, session: Session, tokens: Iterable[Token], needed: set[str]) -> set[Token]:
        """Clear the owner of tasks that somebody else has moved, and return these claims.

        A canceled task has ended only now, and a flow that came while it ran waits for that. `needed` takes those tasks
        that others need.
        """
        released: set[Token] = set()
        for owner, claims in self._batches(tokens):
            params = {"owner": owner, "batch": self._dialect.encode_claims(claims)}
            rows = self._change(session, self._sql.release_stale, params)
            released |= self._tokens(rows, owner, claims, needed)
        return released


def _is_killed(change: Change, released: set[Token]) -> bool:
    """Return whether a claim that was released was that of a canceled task whose process was killed."""
    return change.token in released and change.failed is not None and not change.failed.is_failure


def _is_plain_done(change: Change) -> bool:
    return change.status is TaskStatus.DONE and (
        change.result is None
        and change.errors is None
        and change.delay is None
        and change.failed is None
        and change.went_well is None
        and change.success is None
    )
