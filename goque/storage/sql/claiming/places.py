"""Decide how many tasks of which key a claim may take. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from goque.storage.contract import HeldBack
from goque.storage.sql.limits.key_queries import KeyHead, Share
from goque.task_rules.limits import NO_KEY, LimitChanges, Limits, Pace, Rate


@dataclass
class LimitState:
    """A type under its lock.

    Attributes:
        limits: what bounds it now.
        changes: what was set at run time, None for nothing.
        paused: whether no node may claim it.
        last_key: the key whose turn was last.
        pace: how far its starts are.
        now: the database's clock, in seconds since 1970.
        held: how many of its tasks are claimed, by key; empty where no limit asks for it.
        paces: how far the starts of the keys are whose turn it is.
    """

    limits: Limits
    changes: LimitChanges | None
    paused: bool
    last_key: str | None
    pace: Pace
    now: float
    held: dict[str, int] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)

    def full_keys(self) -> int:
        """Return how many keys have as many claims as they may have."""
        most = self.limits.per_key
        return 0 if most is None else sum(number >= most for number in self.held.values())

    @property
    def rate_of_type(self) -> Rate | None:
        """The rate of the type as a whole."""
        rate = self.limits.rate
        return None if rate is None or rate.per_key else rate

    @property
    def over(self) -> tuple[str, ...]:
        """The keys that hold more places than they may; NO_KEY stands for the type."""
        limit, per_key = self.limits.limit, self.limits.per_key
        of_type = (NO_KEY,) if limit is not None and sum(self.held.values()) > limit else ()
        if per_key is None:
            return of_type
        return (*of_type, *(key for key, number in self.held.items() if key != NO_KEY and number > per_key))

    @property
    def rate_of_keys(self) -> Rate | None:
        """The rate that each key has for itself."""
        rate = self.limits.rate
        return rate if rate is not None and rate.per_key else None


@dataclass(frozen=True)
class _Room:
    """How many tasks of a key may be claimed, and what bounds that number if it is less than what is granted.

    Attributes:
        head: the key.
        number: how many.
        lacks_places: whether more would be too many at once.
        is_paced: whether more would be too many in a time.
    """

    head: KeyHead
    number: int
    lacks_places: bool = False
    is_paced: bool = False

    @classmethod
    def of(cls, head: KeyHead, state: LimitState, granted: int) -> _Room:
        """Return the room of a key; tasks without one are bounded by the limits of their type alone."""
        if head.key == NO_KEY:
            return cls(head, granted)
        most = state.limits.per_key
        places = granted if most is None else min(granted, most - state.held.get(head.key, 0))
        number = head.pace.grants(state.rate_of_keys, state.now, max(0, places))
        return cls(head, number, lacks_places=places < granted, is_paced=number < places)

    def wait(self, state: LimitState) -> float:
        """Return the seconds until one more may start, if all of these do now."""
        rate, pace = state.rate_of_keys, self.head.pace
        if rate is not None:
            pace = Pace(pace.after(rate, state.now, self.number), pace.not_before)
        return pace.seconds_until_next(rate, state.now)


def share_out(
    heads: Sequence[KeyHead], state: LimitState, granted: int
) -> tuple[list[Share], HeldBack | None]:
    """Share places among the keys with due tasks, as equally as their limits allow.

    Args:
        heads: the keys, in the order of their turns.
        state: the type.
        granted: how many places there are.

    Returns: what to claim of each key, and what the limits of keys may have left.
    """
    rooms = [_Room.of(head, state, granted) for head in heads if head.is_due]
    is_open = [room for room in rooms if room.number > 0]
    each, more = divmod(granted, len(is_open)) if is_open else (0, 0)
    shares = []
    for number, room in enumerate(is_open):
        taken = min(room.number, each + (number < more))
        if taken:
            shares.append(Share(room.head.key, room.head.priority, taken))
    is_full = any(room.lacks_places for room in rooms)
    wait = min((room.wait(state) for room in rooms if room.is_paced), default=None)
    return shares, HeldBack(is_full, wait, state.over) if is_full or wait is not None else None
