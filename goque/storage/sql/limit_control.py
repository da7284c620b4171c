"""See how limits are used, and change them at run time, on a SQL storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from goque.storage.contract import LimitLoad, LimitUse, TypePolicy
from goque.storage.sql.call_policy import LONG_READ, PATIENT_WRITE, READ, WRITE
from goque.storage.sql.limits.holders import Holders, read_holders
from goque.storage.sql.limits.key_queries import read_pace
from goque.storage.sql.limits.key_uses import UseOfKeys, Waiting
from goque.storage.sql.session import Session
from goque.storage.sql.steps import run_steps
from goque.storage.sql.upkeep import SqlUpkeep
from goque.task_rules.limits import (
    NO_KEY,
    LimitChanges,
    Limits,
    Pace,
    encode_limits,
    read_changes,
    read_limits,
)

MAX_PACES: Final = 1000
"""How many keys whose next start is still to come are read at once; of the listed ones each is known."""


MAX_WAITING_KEYS: Final = 1000
"""How many keys are read of those whose tasks wait, the most first, to find out when the next task may start."""

PACES_AT_ONCE: Final = 1000


class SqlLimitControl(SqlUpkeep):
    """The part of the contract that people use to look at limits and to change them."""

    def set_limits(self, task_type: str, changes: LimitChanges | None) -> Limits:
        """Change limits of a type for all nodes, and return those that it has then."""
        statements = self._sql.limits

        def change(session: Session) -> Limits | None:
            rows = session.rows(statements.read_changes, {"task_type": task_type})
            if not rows:
                return None
            declared = read_limits(self._dialect.read_optional_text(rows[0][0]))
            merged = LimitChanges()
            if changes is not None:
                merged = read_changes(self._dialect.read_optional_text(rows[0][1])).merged(changes)
            session.run(statements.set_changes, {"task_type": task_type, "changes": encode_limits(merged)})
            if changes is None:
                session.run(statements.forget_pace, {"task_type": task_type})
            run_steps(session, self._dialect.announce({task_type}))
            return merged.applied_to(declared)

        limits = self._run(change, PATIENT_WRITE)
        if limits is None:
            raise self._unknown_type(task_type)
        return limits

    def limit_uses(self, task_type: str | None = None, *, most_keys: int = 100) -> list[LimitUse]:
        """Return the types that have limits, or had tasks with keys, and how their limits are used."""
        policies = self.type_policies()
        rows = self._run(lambda session: session.rows(self._sql.limits.types_with_rows), READ)
        names = {self._dialect.read_text(row[0]) for row in rows}
        names |= {name for name, policy in policies.items() if policy.limits or policy.changes is not None}
        wanted = [name for name in sorted(names) if task_type in (None, name)]
        return self._run(
            lambda session: [self._use_of(session, name, policies.get(name), most_keys) for name in wanted],
            LONG_READ,
        )

    def forget_idle_keys(self, *, limit: int = 1000) -> int:
        """Delete what the table knows of the rates of keys that may start again; returns how many rows went."""
        statements = self._sql.limits

        def delete(session: Session) -> int:
            seconds = session.now.timestamp()
            rows = session.rows(statements.idle_keys, {"seconds": seconds, "most": limit})
            idle = [
                {
                    "task_type": self._dialect.read_text(name),
                    "key": self._dialect.read_text(key),
                    "seconds": seconds,
                }
                for name, key in rows
            ]
            return session.run_many(statements.delete_idle, idle) if idle else 0

        return self._run(delete, WRITE)

    def _use_of(
        self, session: Session, task_type: str, policy: TypePolicy | None, most_keys: int
    ) -> LimitUse:
        declared = policy.limits if policy else Limits()
        limits = policy.effective_limits if policy else declared
        rate = limits.rate
        of_keys_alone = rate if rate and rate.per_key else None
        now = session.now.timestamp()
        of_keys, is_cut = self._read_keys(session, task_type, max(most_keys, MAX_WAITING_KEYS), now)
        names = of_keys.names()
        shown = names[:most_keys]
        self._complete(session, task_type, of_keys, shown, is_cut=is_cut)
        waiting = of_keys.all_waiting()
        next_start = of_keys.paces.get(NO_KEY, Pace()).seconds_until_next(
            None if of_keys_alone else rate, now
        )
        start = of_keys.next_start(limits, of_keys_alone, next_start, now)
        if is_cut:
            waiting = self._waiting(session, self._sql.limits.waiting, {"task_type": task_type})
        holders = self._holders(session, task_type, [name for name in shown if of_keys.running.get(name)])
        return LimitUse(
            type=task_type,
            limits=limits,
            declared=declared,
            changes=policy.changes if policy else None,
            running=sum(of_keys.running.values()),
            waiting=waiting.number,
            next_start=next_start,
            due_in=waiting.due_in if waiting.number else None,
            start_in=start.start_in,
            is_key_full=start.is_key_full,
            is_start_known=not is_cut or start.start_in == 0,
            keys=tuple(of_keys.use(name, of_keys_alone, now, holders) for name in shown),
            has_more_keys=len(names) > most_keys,
        )

    def _read_keys(self, session: Session, task_type: str, most: int, now: float) -> tuple[UseOfKeys, bool]:
        """Return what there is of the keys of a type, and whether more than so many of them have waiting tasks."""
        statements, text = self._sql.limits, self._dialect.read_text
        asked = {"task_type": task_type}
        waiting = session.rows(statements.waiting_by_key, {**asked, "most": most + 1})
        paces = session.rows(statements.paces, {**asked, "seconds": now, "most": MAX_PACES})
        found = UseOfKeys(
            self._running(session, task_type),
            {text(key): self._read_waiting(session, *row) for key, *row in waiting},
            self._waiting(session, statements.waiting_without_key, asked),
            {text(key): read_pace(arrival, not_before) for key, arrival, not_before in paces},
        )
        return found, len(waiting) > most

    def _complete(
        self, session: Session, task_type: str, of_keys: UseOfKeys, shown: Sequence[str], *, is_cut: bool
    ) -> None:
        """Read what cut lists have left out of the keys that are shown, and the paces of all that wait."""
        statements, text = self._sql.limits, self._dialect.read_text
        for name in shown if is_cut else ():
            if name not in of_keys.waiting:
                asked = {"task_type": task_type, "key": name}
                of_keys.waiting[name] = self._waiting(session, statements.waiting_of_key, asked)
        missing = of_keys.without_pace(shown) if len(of_keys.paces) >= MAX_PACES else []
        for start in range(0, len(missing), PACES_AT_ONCE):
            keys = self._dialect.encode_list(missing[start : start + PACES_AT_ONCE])
            for key, arrival, not_before in session.rows(
                statements.paces_of_keys, {"task_type": task_type, "keys": keys}
            ):
                of_keys.paces[text(key)] = read_pace(arrival, not_before)

    def _waiting(self, session: Session, statement: str, asked: Mapping[str, Any]) -> Waiting:
        [row] = session.rows(statement, asked)
        return self._read_waiting(session, *row)

    def _read_waiting(self, session: Session, number: int, first_due: Any) -> Waiting:
        if not number:
            return Waiting()
        return Waiting(number, max(0.0, (self._dialect.read_time(first_due) - session.now).total_seconds()))

    def limit_load(self, policy: TypePolicy, key: str = NO_KEY) -> LimitLoad:
        """Return how much of the limits of a type is in use."""
        text, limits = self._dialect.read_text, policy.effective_limits
        per_key = limits.rate is not None and limits.rate.per_key

        def read(session: Session) -> LimitLoad:
            running = self._running(session, policy.type)
            now = session.now.timestamp()
            asked = {"task_type": policy.type, "key": key}
            paces = {
                text(of): read_pace(arrival, not_before)
                for of, arrival, not_before in session.rows(self._sql.limits.pace_of, asked)
            }
            of_type, of_key = paces.get(NO_KEY, Pace()), paces.get(key, Pace()) if key else Pace()
            return LimitLoad(
                limits=limits,
                running=sum(running.values()),
                next_start=of_type.seconds_until_next(None if per_key else limits.rate, now),
                key_running=running.get(key, 0),
                key_next_start=of_key.seconds_until_next(limits.rate if per_key and key else None, now),
            )

        return self._run(read, READ)

    def _running(self, session: Session, task_type: str) -> dict[str, int]:
        """Return how many tasks of a type hold a place, by key."""
        running: dict[str, int] = {}
        for raw, number in session.rows(self._sql.limits.held, {"task_type": task_type}):
            key = self._dialect.read_text(raw)
            running[key] = running.get(key, 0) + number
        if statement := self._sql.limits.held_without_key:  # claimed before the type had a limit
            running[NO_KEY] = running.get(NO_KEY, 0) + len(session.rows(statement, {"task_type": task_type}))
        return running

    def _holders(self, session: Session, task_type: str, keys: Sequence[str]) -> Holders:
        """Return who holds the places of some keys."""
        if not keys:
            return Holders({}, {})
        return read_holders(
            session,
            self._sql.limits.holders,
            {"task_type": task_type, "keys": self._dialect.encode_list(keys)},
            self._dialect.read_text,
            without_key=NO_KEY in keys,
        )
