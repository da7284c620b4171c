"""What a fetcher asks of a SQL storage: claim, mark, settle, look after what it holds."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import msgspec

from goque.errors import DatabaseUnavailableError, GoqueError
from goque.outcome import Change
from goque.storage.contract import Watcher
from goque.storage.instants import later
from goque.storage.sql.call_policy import PINNED_READ, PINNED_STATEMENT, PINNED_WRITE, CallPolicy
from goque.storage.sql.claim_cursor import ClaimCursor
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.runner import PATIENCE, SqlRunner
from goque.storage.sql.session import Session
from goque.storage.sql.unclaimable import Unclaimable
from goque.task import TaskRow, TaskStatus, Token

DOUBT: Final = 30.0
"""Seconds after which a commit that was not answered has come to its end on the server too."""

MAX_ROUNDS: Final = 50
"""How often one claim begins again behind tasks that it cannot change."""

MAX_HELD: Final = 100_000


class SqlClaims(SqlRunner):
    """The part of the contract that fetchers use."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._in_doubt: list[tuple[Token, str, float]] = []
        self._cursor = ClaimCursor()
        self._unclaimable = Unclaimable()

    def claim_due(
        self, task_type: str, owner: str, limit: int, *, timeout: float | None = None
    ) -> list[TaskRow]:
        """Claim up to `limit` due tasks of a type, highest priority first, then the longest due."""
        if limit <= 0:
            return []
        if found := self._claimed_in_doubt(task_type, owner, limit):
            return found
        if self._dialect.one_writer and not self._run(
            lambda session: self._is_due(session, task_type), PINNED_READ
        ):
            return []  # an idle fetcher does not take the write lock
        began = time.monotonic()
        past = self._unclaimable.keys(task_type, began)
        cursor = self._cursor if self._dialect.needs_claim_cursor and not past else None
        place = None if cursor is None else cursor.of(task_type, began)
        asked = {"task_type": task_type, "owner": owner, "top": None, "since": None, "past": past}
        claimed: list[TaskRow] = []
        try:
            stuck = self._claim_in_transaction(asked, place, limit, claimed, PINNED_WRITE.within(timeout))
        except DatabaseUnavailableError:
            self._in_doubt += [(row.token, task_type, time.monotonic()) for row in claimed]
            raise
        self._doubt_no_more(claimed)  # a claim that was rolled back had the same tokens
        claimed.sort(key=_claim_order)
        self._unclaimable.claimed(task_type, len(claimed), stuck, time.monotonic())
        if cursor is not None:
            from_head = began if place is None else None
            cursor.claimed(task_type, claimed, limit, began=from_head, now=time.monotonic())
        return claimed

    def _claim_in_transaction(
        self,
        asked: dict[str, Any],
        place: tuple[int, datetime] | None,
        limit: int,
        claimed: list[TaskRow],
        policy: CallPolicy,
    ) -> dict[Any, str]:
        """Add what is claimed to `claimed`; returns the ids of tasks that cannot be changed, by their keys."""

        def claim(session: Session) -> dict[Any, str]:
            if not asked["past"]:
                self._claim_due(session, asked, place, limit, claimed)
            if asked["past"] or (not claimed and self._unclaimable.is_suspected(asked["task_type"])):
                return self._claim_past(session, asked, limit, claimed)
            return {}

        def claim_each(session: Session) -> dict[Any, str]:
            claimed.clear()
            return self._claim_past(session, asked, limit, claimed, alone=True)

        try:
            return self._run(claim, policy)
        except GoqueError:
            raise
        except Exception:  # noqa: BLE001 - of the driver: a trigger that raises, or a value out of range
            return self._run(claim_each, policy)

    def _claim_due(
        self,
        session: Session,
        asked: dict[str, Any],
        place: tuple[int, datetime] | None,
        limit: int,
        claimed: list[TaskRow],
    ) -> None:
        if place is not None:
            top, since = place
            self._claim(session, {**asked, "top": top, "since": self._dialect.time(since)}, limit, claimed)
        if len(claimed) < limit:
            self._claim(session, asked, limit, claimed)

    def _claim(self, session: Session, asked: dict[str, Any], limit: int, claimed: list[TaskRow]) -> None:
        for priority in self._dialect.due_levels(session, asked["task_type"]):
            params = {**asked, "priority": priority, "limit": limit - len(claimed)}
            rows = map(self._dialect.read_task, self._change(session, self._sql.claim_due, params))
            claimed += (row for row in rows if row.status == "pending" and row.claimed_by == params["owner"])
            if len(claimed) >= limit:
                break

    def _claim_past(
        self,
        session: Session,
        asked: dict[str, Any],
        limit: int,
        claimed: list[TaskRow],
        *,
        alone: bool = False,
    ) -> dict[Any, str]:
        """Claim past tasks that cannot be changed; returns those that were found now, by their keys.

        With `alone`, each task is changed by a statement of its own, which may fail.
        """
        stuck: dict[Any, str] = {}
        sql, encode = self._sql.claim_past, self._dialect.encode_list
        for _ in range(MAX_ROUNDS):
            past = encode([*asked["past"], *stuck])
            due = session.rows(sql.lock, {**asked, "past": past, "limit": limit - len(claimed)})
            if not due:
                break
            of_these = {**asked, "keys": encode([row[0] for row in due])}
            if alone:
                for key, _ in due:
                    self._change_alone(session, sql.change, {**asked, "keys": encode([key])})
            else:
                session.run(sql.change, of_these)
            changed = {row[0]: row[1:] for row in session.rows(sql.changed, of_these)}
            claimed += map(self._dialect.read_task, changed.values())
            stuck |= {key: self._dialect.read_text(task_id) for key, task_id in due if key not in changed}
            if len(claimed) >= limit:
                break
        return stuck

    def _change_alone(self, session: Session, change: str, asked: dict[str, Any]) -> None:
        session.run(self._sql.savepoint)
        try:
            session.run(change, asked)
        except GoqueError:
            raise
        except Exception:  # noqa: BLE001 - the task is found unchanged, left out and logged
            session.run(self._sql.rollback_savepoint)
        session.run(self._sql.release_savepoint)

    def _is_due(self, session: Session, task_type: str) -> bool:
        return any(True for _ in self._dialect.due_levels(session, task_type))

    def _claimed_in_doubt(self, task_type: str, owner: str, limit: int) -> list[TaskRow]:
        """Find what an earlier claim took whose commit was not answered: nobody else would look for it."""
        tokens = {token for token, its_type, _ in self._in_doubt if its_type == task_type}
        if not tokens:
            return []
        oldest = time.monotonic() - DOUBT
        held = self.claimed_by_owner(owner, task_type, limit=MAX_HELD)
        ours = {row.token: row for row in held if row.token in tokens and row.status == TaskStatus.PENDING}
        found = sorted(ours.values(), key=_claim_order)[:limit]
        self._in_doubt = [
            (token, its_type, since)
            for token, its_type, since in self._in_doubt
            if its_type != task_type or token in ours or since >= oldest  # else looked for, and not there
        ]
        self._doubt_no_more(found)
        return found

    def _doubt_no_more(self, rows: Iterable[TaskRow]) -> None:
        if self._in_doubt:
            known = {row.token for row in rows}
            self._in_doubt = [doubt for doubt in self._in_doubt if doubt[0] not in known]

    def seconds_until_due(self, task_type: str) -> float | None:
        """Return the seconds until the next unclaimed task is due (0 if one is), None if none waits."""

        def wait(session: Session) -> float | None:
            instants = list(self._dialect.next_due(session, task_type))
            return max(0.0, (min(instants) - session.now).total_seconds()) if instants else None

        due = self._run(wait, PINNED_READ)
        if due == 0 and not self._unclaimable.is_due(task_type, time.monotonic()):
            return None  # nobody knows when the first task behind them is due: a later claim finds it
        return due

    def mark_processing(self, tokens: Collection[Token]) -> None:
        """Move claimed tasks from pending to processing, where the claim still holds."""
        if tokens:
            self._run(
                lambda session: self._run_for_claims(session, self._sql.mark_processing, tokens), PINNED_WRITE
            )

    def _run_for_claims(self, session: Session, sql: str, tokens: Iterable[Token]) -> None:
        for owner, claims in self._batches(tokens):
            session.run(sql, {"owner": owner, "batch": self._dialect.encode_claims(claims)})

    def settle_if_held(self, changes: Sequence[Change], *, node: str | None = None) -> set[Token]:
        """Write the moves whose claim still holds and record their failed attempts, in one transaction.

        A batch that went as it should is one change; what it does not find is let go of in a second one.
        """
        if not changes:
            return set()
        if not self._dialect.watched and all(map(_is_plain_done, changes)):
            tokens = [change.token for change in changes]
            [batch, *further] = self._batches(tokens)
            if not further:
                return self._settle_one_batch(tokens, *batch)
        return self._run(lambda session: self._settle(session, changes, node), PINNED_WRITE)

    def _settle_one_batch(
        self, tokens: Sequence[Token], owner: str | None, claims: dict[str, int]
    ) -> set[Token]:
        written = self._run(lambda session: self._settle_batch_done(session, owner, claims), PINNED_STATEMENT)
        lost = [token for token in tokens if token not in written]
        if lost:
            self._run(
                lambda session: self._run_for_claims(session, self._sql.release_stale, lost), PINNED_WRITE
            )
        return written

    def _settle(self, session: Session, changes: Sequence[Change], node: str | None) -> set[Token]:
        plain = [change.token for change in changes if _is_plain_done(change)]
        others = [change for change in changes if not _is_plain_done(change)]
        written = self._settle_done(session, plain) if plain else set()
        if others:
            written |= self._settle_moves(session, others)
            self._record_attempts(session, (change for change in others if change.token in written), node)
        if len(written) < len(changes):
            lost = [change.token for change in changes if change.token not in written]
            self._run_for_claims(session, self._sql.release_stale, lost)
        if self._dialect.watched:
            ended = (change.token for change in changes if change.status.is_terminal)
            self._dialect.notify_finished(session, [token.task_id for token in ended if token in written])
        return written

    def _settle_done(self, session: Session, tokens: Iterable[Token]) -> set[Token]:
        written: set[Token] = set()
        for owner, claims in self._batches(tokens):
            written |= self._settle_batch_done(session, owner, claims)
        return written

    def _settle_batch_done(self, session: Session, owner: str | None, claims: dict[str, int]) -> set[Token]:
        params = {"owner": owner, "batch": self._dialect.encode_claims(claims)}
        return self._tokens(self._change(session, self._sql.settle_done, params), claims, owner)

    def _settle_moves(self, session: Session, changes: Iterable[Change]) -> set[Token]:
        by_token = {change.token: change for change in changes}
        written: set[Token] = set()
        for owner, claims in self._batches(by_token):
            moves = [by_token[Token(task_id, number, owner or "")] for task_id, number in claims.items()]
            written |= self._tokens(self._settle_batch(session, moves, owner), claims, owner)
        return written

    def _settle_batch(self, session: Session, moves: list[Change], owner: str | None) -> list[Sequence[Any]]:
        batch = self._dialect.encode_moves(moves, session.now)
        if len(batch) > self._dialect.largest_batch and len(moves) > 1:
            middle = len(moves) // 2
            first = self._settle_batch(session, moves[:middle], owner)
            return first + self._settle_batch(session, moves[middle:], owner)
        return [*self._change(session, self._sql.settle_moves, {"owner": owner, "batch": batch})]

    def _batches(self, tokens: Iterable[Token]) -> Iterator[tuple[str | None, dict[str, int]]]:
        return _claims_by_owner(tokens, self._dialect.moves_at_once)

    def _tokens(self, rows: Iterable[Sequence[Any]], claims: dict[str, int], owner: str | None) -> set[Token]:
        ids = [self._dialect.read_text(row[0]) for row in rows]
        return {Token(task_id, claims[task_id], owner or "") for task_id in ids}

    def _record_attempts(self, session: Session, changes: Iterable[Change], node: str | None) -> None:
        session.run_many(
            self._sql.insert_attempt,
            [
                {
                    **msgspec.structs.asdict(change.failed),
                    "task_id": change.token.task_id,
                    "node": node,
                    "started_at": self._started_at(change, session.now),
                }
                for change in changes
                if change.failed is not None
            ],
        )

    def _started_at(self, change: Change, now: datetime) -> Any:
        if change.failed is None or change.failed.duration is None:
            return None
        return self._dialect.time(later(now, -change.failed.duration))

    def claimed_by_owner(
        self, owner: str, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read tasks that an owner holds, whatever their status, oldest id first."""
        params = {"owner": owner, "task_type": task_type, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.claimed_by_owner, params), PINNED_READ)
        return [self._dialect.read_task(row) for row in rows]

    def changed_by_others(self, owner: str, task_type: str) -> list[Token]:
        """Return the claims of an owner whose task is neither pending nor processing any more."""
        params = {"owner": owner, "task_type": task_type}
        rows = self._run(lambda session: session.rows(self._sql.changed_by_others, params), PINNED_READ)
        return [Token(self._dialect.read_text(task_id), claims, owner) for task_id, claims in rows]

    def watch(self, task_type: str) -> Watcher:
        """Start to watch for new work; where it cannot be told apart, that of other types wakes up as well."""
        return self._dialect.watch(self._connections, task_type)


def _claim_order(row: TaskRow) -> tuple[int, datetime]:
    return -row.priority, row.next_attempt_at


def _is_plain_done(change: Change) -> bool:
    return change.status is TaskStatus.DONE and (
        change.result is None and change.errors is None and change.delay is None and change.failed is None
    )


def _claims_by_owner(tokens: Iterable[Token], most: int) -> Iterator[tuple[str | None, dict[str, int]]]:
    """Group tokens into batches of one owner that name each task once; an empty owner is none."""
    for owner, group in groupby(tokens, key=lambda token: token.owner):
        claims: dict[str, int] = {}
        for token in group:
            if token.task_id in claims or len(claims) == most:
                yield owner or None, claims
                claims = {}
            claims[token.task_id] = token.claims
        yield owner or None, claims
