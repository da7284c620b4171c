"""The calls of a fetcher on a SQL storage: claim tasks, mark them, and read what an owner holds."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from goque.errors import DatabaseUnavailableError, GoqueError
from goque.storage.contract import DueLevel, HeldBack, HeldClaim, Watcher
from goque.storage.sql.call_policy import PINNED_READ, PINNED_WRITE, READ, CallPolicy
from goque.storage.sql.claiming.claim_cursor import ClaimCursor
from goque.storage.sql.claiming.limited_claim import Claimed, LimitedClaim, Wanted
from goque.storage.sql.claiming.unclaimable import Unclaimable
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.runner import PATIENCE
from goque.storage.sql.session import Session
from goque.storage.sql.settling import SqlSettling
from goque.storage.sql.steps import run_steps
from goque.task_row import TaskRow, TaskStatus, Token

DOUBT: Final = 30.0
"""Seconds after which an unanswered commit has either taken effect on the server or failed."""

MAX_ROUNDS: Final = 50
"""How often one claim starts again behind tasks that it cannot change."""

MAX_HELD: Final = 100_000


class UnusualTaskError(Exception):
    """A claim has met a task that must not be claimed as it is; it is rolled back, and made again task by task."""


class SqlClaims(SqlSettling):
    """The part of the contract that fetchers use."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._in_doubt: list[tuple[Token, str, float]] = []
        self._cursor = ClaimCursor()
        self._unclaimable = Unclaimable()
        self._limited_claim = LimitedClaim(dialect, self._change)

    def claim_due(
        self,
        task_type: str,
        owner: str,
        limit: int,
        *,
        timeout: float | None = None,
        priority: int | None = None,
    ) -> list[TaskRow]:
        """Claim up to `limit` due tasks of a type, highest priority first, then the longest due."""
        if limit <= 0:
            return []
        if found := self._claimed_in_doubt(task_type, owner, limit):
            return found
        if task_type in self._limited_types:
            return self._claim_by_limits(task_type, owner, limit, timeout)
        if (
            self._dialect.one_writer
            and priority is None
            and not self._run(lambda session: self._is_due(session, task_type), PINNED_READ)
        ):
            self._limited_types.claimed_plainly([task_type], ())
            return []  # an idle fetcher must not take the write lock
        began = time.monotonic()
        past = self._unclaimable.keys(task_type, began)
        cursor = self._cursor if self._dialect.needs_claim_cursor and not past else None
        place = None if cursor is None else cursor.of(task_type, began, priority=priority)
        asked = {
            "task_type": task_type,
            "owner": owner,
            "priority": priority,
            "top": None,
            "since": None,
            "past": past,
        }
        claimed: list[TaskRow] = []
        try:
            stuck = self._claim_in_transaction(asked, place, limit, claimed, PINNED_WRITE.within(timeout))
        except DatabaseUnavailableError:
            self.doubt(claimed)
            raise
        self._doubt_no_more(claimed)  # a claim that was rolled back had the same tokens
        self._limited_types.claimed_plainly([task_type], claimed)
        claimed.sort(key=_claim_order)
        now = time.monotonic()
        self._unclaimable.claimed(task_type, len(claimed), stuck, now, priority=priority)
        if cursor is not None:
            from_head = began if place is None else None
            cursor.claimed(task_type, claimed, limit, began=from_head, now=now, priority=priority)
        return claimed

    def _claim_by_limits(
        self, task_type: str, owner: str, limit: int, timeout: float | None
    ) -> list[TaskRow]:
        """Claim tasks of a type that has limits, or whose tasks have keys."""
        if self._dialect.one_writer and not self._run(
            lambda session: self._has_due(session, task_type), PINNED_READ
        ):
            self._limited_types.claimed(task_type, None, is_limited=True)
            return []  # an idle fetcher must not take the write lock
        wanted = Wanted(task_type, owner, limit, self._unclaimable.keys(task_type, time.monotonic()))
        latest = Claimed()

        def claim(session: Session) -> None:
            nonlocal latest
            latest = self._limited_claim.claim(session, wanted)

        try:
            try:
                self._run(claim, PINNED_WRITE.within(timeout))
            except GoqueError:
                raise
            except Exception:  # noqa: BLE001 - the driver's error: a trigger that raises, or a value out of range
                latest, wanted.alone = Claimed(), True
                self._run(claim, PINNED_WRITE.within(timeout))
        except DatabaseUnavailableError:
            self.doubt(latest.rows)
            raise
        self._doubt_no_more(latest.rows)
        self._limited_types.claimed(task_type, latest.held_back, is_limited=latest.is_limited)
        self._unclaimable.claimed(task_type, len(latest.rows), latest.stuck, time.monotonic())
        return sorted(latest.rows, key=_claim_order)

    def held_back(self, task_type: str) -> HeldBack | None:
        """Return why the last claim of a type here left tasks that are due."""
        return self._limited_types.held_back(task_type)

    def is_limited(self, task_type: str) -> bool:
        """Return whether claims of a type go by limits or by turns."""
        return task_type in self._limited_types

    def announce_places(self, types: Sequence[str]) -> None:
        """Wake up the fetchers of these types."""
        self._run(lambda session: run_steps(session, self._dialect.announce(set(types))), READ)

    def _look_for_limits(self, types: Iterable[str]) -> None:
        """Ask which types have limits, if that may be why the last claim of one got nothing although a task is due."""
        if any(map(self._limited_types.may_be, types)):
            rows = self._run(lambda session: session.rows(self._sql.limits.limited_types), PINNED_READ)
            self._limited_types.learn(self._dialect.read_text(row[0]) for row in rows)

    def _claim_in_transaction(
        self,
        asked: dict[str, Any],
        place: tuple[int, datetime] | None,
        limit: int,
        claimed: list[TaskRow],
        policy: CallPolicy,
    ) -> dict[Any, str]:
        """Add the claimed rows to `claimed`. Returns the ids of tasks that cannot be changed, by their keys."""

        def claim(session: Session) -> dict[Any, str]:
            if not asked["past"]:
                self._claim_due(session, asked, place, limit, claimed)
            if asked["past"] or (
                not claimed and self._unclaimable.is_suspected(asked["task_type"], asked["priority"])
            ):
                return self._claim_past(session, asked, limit, claimed)
            return {}

        def claim_each(session: Session) -> dict[Any, str]:
            claimed.clear()
            return self._claim_past(session, asked, limit, claimed, alone=True)

        try:
            return self._run(claim, policy)
        except GoqueError:
            raise
        except Exception:  # noqa: BLE001 - of a trigger that raises, of a value out of range, or UnusualTaskError
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
        for priority in self._dialect.due_priorities(session, asked["task_type"], asked["priority"]):
            params = {**asked, "priority": priority, "limit": limit - len(claimed)}
            found = self._change(session, self._sql.claim_due, params)
            if not self._dialect.may_be_claimed(found):
                raise UnusualTaskError
            rows = map(self._dialect.read_task, found)
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
        """Claim tasks behind those that cannot be changed. Returns newly found ones of these, by their keys.

        With `alone`, a separate statement changes each task, because a statement may fail.
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
        except Exception:  # noqa: BLE001 - the caller sees that the task is unchanged, skips it and logs it
            session.run(self._sql.rollback_savepoint)
        session.run(self._sql.release_savepoint)

    def _is_due(self, session: Session, task_type: str) -> bool:
        return any(True for _ in self._dialect.due_priorities(session, task_type))

    def _has_due(self, session: Session, task_type: str) -> bool:
        return any(due <= session.now for due in self._dialect.next_due(session, task_type))

    def _claimed_in_doubt(self, task_type: str, owner: str, limit: int) -> list[TaskRow]:
        """Return tasks of earlier claims whose commit was not answered. No other process would run them."""
        tokens = {token for token, its_type, _ in self._in_doubt if its_type == task_type}
        if not tokens:
            return []
        oldest = time.monotonic() - DOUBT
        held = self.claimed_by_owner(owner, task_type, limit=MAX_HELD)
        ours = {row.token: row for row in held if row.token in tokens and row.status == TaskStatus.PENDING}
        found = sorted(ours.values(), key=_claim_order)[:limit]
        if found and self._has_lost_answers:
            self._make_durable()
        self._in_doubt = [
            (token, its_type, since)
            for token, its_type, since in self._in_doubt
            if its_type != task_type or token in ours or since >= oldest  # else the claim did not take effect
        ]
        self._doubt_no_more(found)
        return found

    def doubt(self, rows: Iterable[TaskRow]) -> None:
        """Let a later claim return these tasks, whose claim was not answered or which cannot be taken now."""
        self._in_doubt += [(row.token, row.type, time.monotonic()) for row in rows]

    def _doubt_no_more(self, rows: Iterable[TaskRow]) -> None:
        if self._in_doubt:
            known = {row.token for row in rows}
            self._in_doubt = [doubt for doubt in self._in_doubt if doubt[0] not in known]

    def due_levels(self, types: Sequence[str]) -> list[DueLevel]:
        """Return, for each type and each priority in which it has an unclaimed task, when the first is due."""
        if not types:
            return []
        now = time.monotonic()
        asked = {task_type: self._unclaimable.keys(task_type, now) for task_type in types}
        levels = self._run(lambda session: self._dialect.due_levels(session, asked), PINNED_READ)
        for level in levels:
            if not level.seconds:
                self._unclaimable.seen_due(level.type, level.priority)
        self._look_for_limits(level.type for level in levels if not level.seconds)
        return levels

    def seconds_until_due(self, task_type: str) -> float | None:
        """Return the seconds until the next unclaimed task is due (0 if one is), None if none waits."""

        def wait(session: Session) -> float | None:
            instants = list(self._dialect.next_due(session, task_type))
            return max(0.0, (min(instants) - session.now).total_seconds()) if instants else None

        due = self._run(wait, PINNED_READ)
        if due == 0:
            self._look_for_limits([task_type])
        if due == 0 and not self._unclaimable.is_due(task_type, time.monotonic()):
            return None  # the due time of the first task behind them is unknown; a later claim finds it
        return due

    def mark_processing(self, tokens: Collection[Token]) -> None:
        """Move claimed tasks from pending to processing, where the claim still holds."""
        if tokens:
            self._run(
                lambda session: self._run_for_claims(session, self._sql.mark_processing, tokens), PINNED_WRITE
            )

    def claimed_by_owner(
        self, owner: str, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read tasks that an owner holds, whatever their status, oldest id first."""
        params = {"owner": owner, "task_type": task_type, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.claimed_by_owner, params), PINNED_READ)
        return [self._dialect.read_task(row) for row in rows]

    def claims_of_owner(self, owner: str, task_type: str | None = None) -> list[HeldClaim]:
        """Return every claim of an owner, whatever the status of its task."""
        params = {"owner": owner, "task_type": task_type}
        rows = self._run(lambda session: session.rows(self._sql.claims_of_owner, params), PINNED_READ)
        text = self._dialect.read_text
        return [HeldClaim(Token(text(row[0]), row[1], owner), text(row[2])) for row in rows]

    def move_claims(self, tokens: Collection[Token], owner: str) -> None:
        """Change the owner of claims that still hold, and nothing else."""

        def move(session: Session) -> None:
            for former, claims in self._batches(tokens):
                batch = self._dialect.encode_claims(claims)
                session.run(self._sql.move_claims, {"owner": former, "new_owner": owner, "batch": batch})

        if tokens:
            self._run(move, PINNED_WRITE)

    def claims_in_doubt(self) -> set[Token]:
        """Return the claims, of all types, whose commit was not answered and may still take effect."""
        oldest = time.monotonic() - DOUBT
        return {token for token, _, since in self._in_doubt if since >= oldest}

    def watch(self, types: Sequence[str]) -> Watcher:
        """Return a watcher for new tasks of some types. On some databases, tasks of other types wake it up too."""
        return self._dialect.watch(self._connections, types)


def _claim_order(row: TaskRow) -> tuple[int, datetime]:
    return -row.priority, row.next_attempt_at
