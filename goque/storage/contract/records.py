"""What a storage returns and takes beside tasks: data only."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goque.task_row import Token
from goque.task_rules.failed_attempt import FailedAttempt
from goque.task_rules.limits import NO_LIMITS, LimitChanges, Limits

if TYPE_CHECKING:
    from goque.options import ProcessorOptions

SchemaState = Literal["current", "missing", "outdated", "newer", "foreign"]


MAX_GROUPS: Final = 1_000
"""How many counts of a type and a status a read returns at most, so that no reader's memory grows with the types."""


class TypeCount(msgspec.Struct, frozen=True):
    """How many tasks of a type are in a status."""

    type: str
    status: str
    count: int


class QueueDepth(msgspec.Struct, frozen=True):
    """How many unfinished tasks of a type are in a status.

    Attributes:
        type: the task type.
        status: new, error, pending, processing or blocked.
        count: how many.
        waited: seconds for which the longest due unclaimed task of the type has been due, the same in all rows of a
            type; 0 where none is due. Tasks of a paused type wait too.
    """

    type: str
    status: str
    count: int
    waited: float = 0.0


ANY_PRIORITY: Final = -(2**15)
"""Stands for the priority of tasks whose priority is no whole number; claimed are then tasks of any priority."""


class Claim(msgspec.Struct, frozen=True):
    """What to claim of one type.

    Attributes:
        type: the task type.
        priority: the only priority to claim, or ANY_PRIORITY.
        limit: how many tasks at most.
    """

    type: str
    priority: int
    limit: int


class DueLevel(msgspec.Struct, frozen=True):
    """When a type has unclaimed tasks of one priority.

    Attributes:
        type: the task type.
        priority: the priority.
        seconds: the seconds until the first of these tasks is due; 0 if one is.
    """

    type: str
    priority: int
    seconds: float


class HeldBack(msgspec.Struct, frozen=True):
    """Why the last claim of a type left tasks that are due.

    Attributes:
        places: whether one of them waits for a place, by a limit.
        seconds: the seconds until a rate lets one start; None if none of them waits for that.
        over: the keys that hold more places than their limit allows, since it was lowered; the empty text stands for
            the type as a whole.
    """

    places: bool
    seconds: float | None = None
    over: tuple[str, ...] = ()


class AttemptRow(msgspec.Struct, frozen=True):
    """One recorded failed attempt, as `goque show` prints it."""

    task_id: str
    node: str | None
    started_at: datetime | None
    ended_at: datetime
    failed: FailedAttempt


class NodeRow(msgspec.Struct, frozen=True):
    """One supervisor as the others see it; `seq` rises with every heartbeat."""

    id: str
    seq: int
    state: str
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    info: str | None = None


class HeldClaim(msgspec.Struct, frozen=True):
    """One claim as the table has it, with the type of its task."""

    token: Token
    type: str


class TypePolicy(msgspec.Struct, frozen=True):
    """What a type's owner publishes, so that any node's healer and cleaner treat the type alike.

    Attributes:
        type: the task type.
        max_attempts: charged attempts until attempts_left.
        strategy: the retry strategy as JSON text; None when a function of the user's decides.
        max_crashes: crashes until attempts_left, or None.
        cleaner_age: seconds that done and canceled tasks are kept.
        cleaner_keep_failed: seconds that tasks in attempts_left are kept.
        healer_age: seconds after which a claimed task without an owner is taken for abandoned.
        paused: whether no node may claim this type.
        limits: what the type's processor declares.
        changes: what was set at run time; `publish_types` leaves it as it is in the database.
        takes_turns: whether its tasks may have keys; not written, for the keys in the table show it.
    """

    type: str
    max_attempts: int
    strategy: str | None
    max_crashes: int | None
    cleaner_age: float
    cleaner_keep_failed: float
    healer_age: float
    paused: bool = False
    limits: Limits = NO_LIMITS
    changes: LimitChanges | None = None
    takes_turns: bool = False

    @property
    def effective_limits(self) -> Limits:
        """What bounds the type now."""
        return self.limits if self.changes is None else self.changes.applied_to(self.limits)

    @property
    def is_limited(self) -> bool:
        """Whether something bounds the type, or has put its tasks off."""
        return bool(self.limits) or self.changes is not None


def policy_of(task_type: str, options: ProcessorOptions) -> TypePolicy:
    """Return what the options of a type's processor publish of it."""
    return TypePolicy(
        type=task_type,
        max_attempts=options.max_attempts,
        strategy=None if options.strategy is None else msgspec.json.encode(options.strategy).decode(),
        max_crashes=options.max_crashes,
        cleaner_age=options.cleaner_updated_at_time_ago,
        cleaner_keep_failed=options.cleaner_keep_failed,
        healer_age=options.healer_updated_at_time_ago,
        limits=options.limits,
        takes_turns=options.takes_turns,
    )
