"""What people ask of limits, and change of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import msgspec

from goque.storage.contract.records import TypePolicy
from goque.task_rules.limits import NO_KEY, LimitChanges, Limits


class HeldTask(msgspec.Struct, frozen=True):
    """A task that holds a place: its id, and the node that has claimed it."""

    id: str
    owner: str


class Owner(msgspec.Struct, frozen=True):
    """A node that holds places: its id, and how many tasks of a key run there."""

    owner: str
    running: int


class KeyUse(msgspec.Struct, frozen=True):
    """How one key of a type uses its limits.

    Attributes:
        key: the key; empty for the tasks without one.
        running: how many of its tasks hold a place: those that are claimed.
        waiting: how many wait, those that are not due yet among them.
        next_start: seconds until its rate, or a `goque.RateLimited`, lets the next one start; 0 if one may.
        due_in: seconds until the first of the waiting ones is due; 0 if one is, None if none waits.
        owners: the nodes that hold its places, those with the most first. Of very many some may be left out: then the
            places of these add up to less than `running`.
        holders: some of the tasks that hold a place.
    """

    key: str
    running: int = 0
    waiting: int = 0
    next_start: float = 0.0
    due_in: float | None = None
    owners: tuple[Owner, ...] = ()
    holders: tuple[HeldTask, ...] = ()

    @property
    def left_out(self) -> int:
        """How many places the nodes hold that `owners` leaves out."""
        return max(0, self.running - sum(owner.running for owner in self.owners))


class LimitUse(msgspec.Struct, frozen=True):
    """The limits of one type, and how they are used.

    Attributes:
        type: the task type.
        limits: what bounds it now.
        declared: what its processor declares.
        changes: what was set at run time, None for nothing.
        running: how many of its tasks hold a place.
        waiting: how many wait.
        next_start: as of `KeyUse`, for the type as a whole.
        due_in: as of `KeyUse`.
        start_in: seconds until a waiting task may start, as far as due times, rates and `goque.RateLimited` go, its
            key's too. Tasks of keys that are full do not count: None if all that wait have such a key, or none waits.
        is_key_full: whether tasks wait for a place of their key.
        is_start_known: whether no other key can start sooner; False where very many keys wait and none may start now.
        keys: its keys, those with the most running and waiting tasks first.
        has_more_keys: whether there are more than are listed.
    """

    type: str
    limits: Limits
    declared: Limits
    changes: LimitChanges | None = None
    running: int = 0
    waiting: int = 0
    next_start: float = 0.0
    due_in: float | None = None
    start_in: float | None = None
    is_key_full: bool = False
    is_start_known: bool = True
    keys: tuple[KeyUse, ...] = ()
    has_more_keys: bool = False


class LimitLoad(msgspec.Struct, frozen=True):
    """How much of the limits of a type is in use, and of those of one of its keys.

    Attributes:
        limits: what bounds the type now.
        running: how many of its tasks hold a place.
        next_start: seconds until its rate, or a `goque.RateLimited`, lets the next one start; 0 if one may.
        key_running: how many of the key's tasks hold a place.
        key_next_start: as `next_start`, for the key alone.
    """

    limits: Limits
    running: int = 0
    next_start: float = 0.0
    key_running: int = 0
    key_next_start: float = 0.0


class LimitControl(Protocol):
    """See how limits are used, and change them at run time."""

    @abstractmethod
    def set_limits(self, task_type: str, changes: LimitChanges | None) -> Limits:
        """Change limits of a type for all nodes, and return those that it has then.

        Args:
            task_type: the type.
            changes: what to set; what is UNSET stays as it is. None forgets all that was set, and what was put off.

        Raises:
            ConfigurationError: no supervisor has published this type.
        """

    @abstractmethod
    def limit_uses(self, task_type: str | None = None, *, most_keys: int = 100) -> list[LimitUse]:
        """Return the types that have limits, or had tasks with keys, and how their limits are used.

        Args:
            task_type: only this type; None for all.
            most_keys: how many keys of each type at most.
        """

    @abstractmethod
    def forget_idle_keys(self, *, limit: int = 1000) -> int:
        """Delete what the table knows of the rates of keys that may start again; returns how many rows went.

        Args:
            limit: the bound of one batch; call again while it is reached.
        """

    @abstractmethod
    def limit_load(self, policy: TypePolicy, key: str = NO_KEY) -> LimitLoad:
        """Return how much of the limits of a type is in use; what waits costs nothing here.

        Args:
            policy: the policy of the type, as `type_policies` has just returned it.
            key: the key to look at, too.
        """
