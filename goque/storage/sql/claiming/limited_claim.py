"""Claim tasks of a type by its limits, in turns between its keys: each claim counts the claims under the type's lock.

What holds a place is the claim itself, so a place is free as soon as the claim is gone, however it went. Claims of one
type follow one another on all nodes, each a few milliseconds long, because each locks the row of its type in
goque_limit. This row also says whose turn was last.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from goque.errors import GoqueError
from goque.storage.contract import HeldBack
from goque.storage.sql.claiming.key_walk import KeyWalk
from goque.storage.sql.claiming.keyless import Keyless
from goque.storage.sql.claiming.places import LimitState, share_out
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.limits.key_queries import KeyHead, read_pace
from goque.storage.sql.session import Row, Session
from goque.storage.sql.statements.kinds import LockThenChange
from goque.task_row import TaskRow
from goque.task_rules.limits import (
    NO_KEY,
    NO_LIMITS,
    LimitChanges,
    Pace,
    Rate,
    read_changes,
    read_limits,
)

MAX_ROUNDS: Final = 3
"""How often one claim shares what keys with few due tasks have left of their shares."""

Change = Callable[[Session, "str | LockThenChange", dict[str, Any]], Sequence[Row]]


@dataclass
class Wanted:
    """What to claim.

    Attributes:
        task_type: the type.
        owner: who claims.
        limit: how many tasks at most.
        past: the keys in the table of tasks that cannot be changed.
        alone: whether a statement of its own claims each task, because a statement may fail.
    """

    task_type: str
    owner: str
    limit: int
    past: Sequence[Any] = ()
    alone: bool = False


@dataclass
class Claimed:
    """What a claim got.

    Attributes:
        rows: the claimed tasks.
        stuck: the ids of tasks that it could not change, by their keys in the table.
        held_back: why it left tasks that are due; None if limits had no part in it.
        is_limited: whether the type has limits, or waiting tasks with keys.
    """

    rows: list[TaskRow] = field(default_factory=list)
    stuck: dict[Any, str] = field(default_factory=dict)
    held_back: HeldBack | None = None
    is_limited: bool = True


class LimitedClaim:
    """The statements of a claim by limits, in their order.

    Args:
        dialect: the dialect.
        change: runs a statement that returns the rows that it changes.
    """

    def __init__(self, dialect: Dialect, change: Change) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.limits
        self._change = change
        self._keyless = Keyless(dialect)
        self._walk = KeyWalk(dialect)

    def claim(self, session: Session, wanted: Wanted) -> Claimed:
        """Claim, in the transaction of a session."""
        state = self._lock(session, wanted.task_type)
        if state.paused:
            return Claimed()
        if state.limits.limit is not None or state.limits.per_key is not None:
            self._keyless.adopt_claimed(session, wanted.task_type, time.monotonic())
            state.held = self._held(session, wanted.task_type)
        room = wanted.limit
        if state.limits.limit is not None:
            room = min(room, state.limits.limit - sum(state.held.values()))
        self._catch_up(session, wanted.task_type, state)
        granted = state.pace.grants(state.rate_of_type, state.now, room)
        if granted <= 0:
            wait = state.pace.seconds_until_next(state.rate_of_type, state.now)
            return Claimed(held_back=HeldBack(room <= 0, wait or None, state.over))
        claimed = self._claim_granted(session, wanted, state, granted)
        if granted < wanted.limit and len(claimed.rows) == granted and claimed.held_back is None:
            after = (
                Pace(state.pace.after(state.rate_of_type, state.now, granted))
                if state.rate_of_type
                else state.pace
            )
            wait = after.seconds_until_next(state.rate_of_type, state.now) if granted < room else 0.0
            claimed.held_back = HeldBack(room < wanted.limit, wait or None)
        return claimed

    def _lock(self, session: Session, task_type: str) -> LimitState:
        params = {"task_type": task_type, "key": NO_KEY}
        rows = session.rows(self._sql.lock, params)
        if not rows:
            session.run(self._sql.insert, params)
            rows = session.rows(self._sql.lock, params)
        last_key, arrival, not_before, limits, changes, paused = rows[0][:6]
        text = self._dialect.read_text
        changed = None if changes is None else read_changes(text(changes))
        declared = NO_LIMITS if limits is None else read_limits(text(limits))
        return LimitState(
            limits=declared if changed is None else changed.applied_to(declared),
            changes=changed,
            paused=bool(paused),
            last_key=self._dialect.read_optional_text(last_key),
            pace=read_pace(arrival, not_before),
            now=session.now.timestamp(),
        )

    def _held(self, session: Session, task_type: str) -> dict[str, int]:
        held: dict[str, int] = {}
        for key, number in session.rows(self._sql.held, {"task_type": task_type}):
            text = self._dialect.read_text(key)
            held[text] = held.get(text, 0) + number
        return held

    def _claim_granted(self, session: Session, wanted: Wanted, state: LimitState, granted: int) -> Claimed:
        self._keyless.adopt_some(session, wanted.task_type, time.monotonic())
        heads, is_cut = self._walk.heads(session, wanted.task_type, state, granted, wanted.past)
        self._catch_up_keys(session, wanted.task_type, state, heads)
        state.paces = {head.key: head.pace for head in heads}
        if not heads:
            due = self._keyless.due(session, wanted.task_type, granted, wanted.past)
            claimed = self._take(session, wanted, due)
            self._write(session, wanted.task_type, state, claimed, None)
            is_marked = state.changes is not None and not self._forget_mark(session, wanted.task_type, state)
            claimed.is_limited = bool(state.limits) or is_marked
            return claimed
        claimed, turn = self._claim_shares(session, wanted, state, heads, granted)
        if turn is None and is_cut:
            turn = heads[-1].key
        self._write(session, wanted.task_type, state, claimed, turn)
        return claimed

    def _claim_shares(
        self, session: Session, wanted: Wanted, state: LimitState, heads: Sequence[KeyHead], granted: int
    ) -> tuple[Claimed, str | None]:
        """Claim what is granted of the keys, and return it with the last key whose turn it was.

        Keys that have fewer due tasks than their share leave places, which a second round shares among the others.
        """
        claimed, turn = Claimed(), None
        for _round in range(MAX_ROUNDS):
            left = granted - len(claimed.rows)
            shares, held_back = share_out(heads, state, left)
            if shares:
                past = [*wanted.past, *claimed.stuck]
                due = self._dialect.keys.due(session, wanted.task_type, shares, past)
                part = self._take(session, wanted, due)
                claimed.rows += part.rows
                claimed.stuck |= part.stuck
                turn = shares[-1].key if turn is None else turn
                if len(claimed.rows) < granted:
                    taken = Counter(row.limit_key or NO_KEY for row in part.rows)
                    for key, number in taken.items():
                        state.held[key] = state.held.get(key, 0) + number
                    past = [*wanted.past, *claimed.stuck]
                    heads = self._walk.after_round(
                        session, wanted.task_type, state, heads, taken=taken, past=past
                    )
            claimed.held_back = held_back
            if not shares or len(claimed.rows) == granted:
                break
        return claimed, turn

    def _take(self, session: Session, wanted: Wanted, due: Sequence[tuple[Any, str]]) -> Claimed:
        """Claim the tasks that are due; those that do not change are stuck."""
        if not due:
            return Claimed()
        groups = [[one] for one in due] if wanted.alone else [due]
        rows = [row for group in groups for row in self._claim_some(session, wanted, group)]
        ids = {row.id for row in rows}
        return Claimed(rows, {place: task_id for place, task_id in due if task_id not in ids})

    def _claim_some(self, session: Session, wanted: Wanted, due: Sequence[tuple[Any, str]]) -> list[TaskRow]:
        params = {"owner": wanted.owner, "keys": self._dialect.encode_list([place for place, _ in due])}
        statements = self._dialect.sql
        if wanted.alone:
            session.run(statements.savepoint)
        try:
            rows = list(map(self._dialect.read_task, self._change(session, self._sql.claim, params)))
        except GoqueError:
            raise
        except Exception:
            if not wanted.alone:
                raise
            session.run(statements.rollback_savepoint)
            rows = []  # the caller logs the task as one that cannot be claimed
        if wanted.alone:
            session.run(statements.release_savepoint)
        return [row for row in rows if row.status == "pending" and row.claimed_by == wanted.owner]

    def _write(
        self, session: Session, task_type: str, state: LimitState, claimed: Claimed, turn: str | None
    ) -> None:
        """Write whose turn was last, and how far the starts are."""
        started = len(claimed.rows)
        rate = state.rate_of_type
        if started and state.rate_of_keys is not None:
            self._write_keys(session, task_type, state.rate_of_keys, claimed.rows, state)
        if not (
            (started and (rate is not None or self._dialect.locks_by_writing))
            or (turn is not None and turn != state.last_key)
        ):
            return
        arrival = state.pace.arrival if rate is None else state.pace.after(rate, state.now, started)
        params = {
            "task_type": task_type,
            "last_key": state.last_key if turn is None else turn,
            "arrival": arrival or None,
        }
        session.run(self._sql.take_turn, params)

    def _write_keys(
        self, session: Session, task_type: str, rate: Rate, rows: Sequence[TaskRow], state: LimitState
    ) -> None:
        """Write how far the starts of keys are, from where they were when the lock was held already."""
        started = Counter(row.limit_key for row in rows if row.limit_key)
        arrivals = [
            {
                "task_type": task_type,
                "key": key,
                "arrival": state.paces.get(key, Pace()).after(rate, state.now, number),
            }
            for key, number in started.items()
        ]
        if arrivals:
            session.run_many(self._sql.write_arrival, arrivals)

    def _catch_up(self, session: Session, task_type: str, state: LimitState) -> None:
        """Write how far the starts are if it is further than the rate allows: a slower rate left it, or a jump."""
        rate = state.rate_of_type
        if rate is None or not state.pace.is_beyond(rate, state.now):
            return
        arrival = state.pace.after(rate, state.now, 0)
        session.run(
            self._sql.take_turn, {"task_type": task_type, "last_key": state.last_key, "arrival": arrival}
        )

    def _catch_up_keys(
        self, session: Session, task_type: str, state: LimitState, heads: Sequence[KeyHead]
    ) -> None:
        """Do the same for the keys whose turn it is."""
        rate = state.rate_of_keys
        if rate is None:
            return
        arrivals = [
            {"task_type": task_type, "key": head.key, "arrival": head.pace.after(rate, state.now, 0)}
            for head in heads
            if head.key != NO_KEY and head.pace.is_beyond(rate, state.now)
        ]
        if arrivals:
            session.run_many(self._sql.write_arrival, arrivals)

    def _forget_mark(self, session: Session, task_type: str, state: LimitState) -> bool:
        """Let plain claims take the type again, once nothing is put off and nobody has set a limit."""
        is_idle = state.changes == LimitChanges() and not state.limits
        asked = {"task_type": task_type, "seconds": state.now, "most": 1}
        if not is_idle or session.rows(self._sql.paces, asked):
            return False
        session.run(self._sql.unmark_limited, {"task_type": task_type})
        return True
