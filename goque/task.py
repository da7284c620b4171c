"""A task: what an application enqueues, and what a handler gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack, cast

import msgspec

from goque.errors import ConfigurationError, PayloadDecodeError
from goque.identifiers import internal_id, new_task_id
from goque.payload import decode_json, encode_payload
from goque.steps.calls import HandlerCalls
from goque.task_row import STATUS_OF, TaskRow, TaskStatus
from goque.task_rules.checks import (
    check_delay,
    check_metadata,
    check_name,
    check_priority,
    check_run_at,
)
from goque.task_rules.limits import LimitKey, check_limit_key, limit_key_of
from goque.task_rules.need import Need
from goque.task_rules.uniqueness import Unique, UniqueKey, UniqueRule, check_unique, key_of

PayloadT = TypeVar("PayloadT")

NO_TASK_PAYLOAD: Final = msgspec.Raw(b"{}")
"""The payload of a task without input data: an empty JSON object, as in the original."""

_EMPTY_METADATA: Final = (b"{}", None, b"")
"""The last is what the original reads so."""


class Task(HandlerCalls):
    """A unit of work; its attributes are the columns of `goque_task`.

    Args:
        type: the name under which a processor is registered.
        payload: anything that msgspec encodes to JSON; `msgspec.Raw` for JSON text encoded before.
        external_id: a key of the application, unique within the type; goque makes one if you give none.
        metadata: JSON-encodable values that travel with the task.
        delay: seconds (or a timedelta) from the database's now until the task is due.
        run_at: the aware datetime at which the task is due; not together with `delay`.
        priority: -100 to 100, higher first; None for the default: that of the type's processor where the
            task is enqueued by `registry.queue` or by a periodic job, else 0.
        unique: how long no second task with the same key is allowed. "waiting" means until the first claim of this
            one, "active" until its end. A number of seconds allows one task in each window of that length. None for
            the option of the type's processor.
        unique_key: the key, or a function of the payload that returns it; None for the payload's JSON value;
            the order of its keys does not matter.
        debounce: seconds by which each call with the same key delays the waiting task, whose payload it replaces.
            It implies `unique="waiting"`.
        max_wait: seconds after the first of these calls by which the task is due in any case.
        limit_key: the key under which the limits of its type count it, and with which others it takes turns; or a
            function of the payload that returns it. None for the option of the type's processor.

    Attributes:
        inserted: whether a call has inserted this task; False for one that was in the table before.
        unique_key: the column (see `goque.task_rules.uniqueness`); None for a task that is not unique.
        stored_limit_key: the column `limit_key`, where the empty text stands for no key.
        flow_name: the name of the flow to which it was added here, which inserts it; else None.
        flags: whether it needs others, is needed, or is in a flow (see `goque.task_row`); 0 for most tasks.
        needs: the tasks that it needs, as they ended, in their order; for the handler that runs only.
        follow_ups: what its handler, which runs here, has asked for (see `goque.follow_up`); None for nothing.

    Raises:
        ConfigurationError: an argument is not valid, or does not go with the others.
        PayloadEncodeError: the payload cannot be encoded.
        InvalidPayloadFormatError: the payload is too large, too deep, or has characters that a database cannot store.
    """

    __slots__ = (
        "_decoded",
        "_payload_class",
        "_raw",
        "_unique",
        "_wants_default",
        "attempts",
        "claimed_by",
        "claims",
        "created_at",
        "delay",
        "errors",
        "external_id",
        "flags",
        "flow_name",
        "follow_ups",
        "id",
        "inserted",
        "lost_claims",
        "metadata",
        "needs",
        "next_attempt_at",
        "priority",
        "result",
        "status",
        "stored_limit_key",
        "type",
        "unique_key",
        "updated_at",
    )

    def __init__(
        self,
        type: str,  # noqa: A002 - the column's name, fixed by the contract
        payload: Any = NO_TASK_PAYLOAD,
        *,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | None = None,
        priority: int | None = None,
        unique: Unique | None = None,
        unique_key: UniqueKey | None = None,
        debounce: float | timedelta | None = None,
        max_wait: float | timedelta | None = None,
        limit_key: LimitKey | None = None,
    ) -> None:
        check_name("type", type)
        if external_id is not None:
            check_name("external_id", external_id)
        self.id: str = new_task_id()
        self.type: str = type
        self.external_id: str = internal_id(self.id) if external_id is None else external_id
        self._raw: bytes = encode_payload(payload)
        self._payload_class: Any = payload.__class__
        self._decoded: Any = msgspec.UNSET
        self.status: TaskStatus = TaskStatus.NEW
        self.attempts: int = 0
        self.errors: str | None = None
        self.metadata: dict[str, Any] = check_metadata(metadata) if metadata else {}
        self.created_at: datetime | None = None
        self.updated_at: datetime | None = None
        self.next_attempt_at: datetime | None = check_run_at(run_at, delay)
        self.delay: float = check_delay(delay)
        self.priority: int = 0 if priority is None else check_priority(priority)
        self._wants_default = priority is None
        self.result: Any = None
        self.claimed_by: str | None = None
        self.claims: int = 0
        self.lost_claims: int = 0
        self.inserted: bool = False
        self.unique_key: str | None = None
        self.stored_limit_key: str | None = None
        self.follow_ups: Any = None
        self.flags: int = 0
        self.flow_name: str | None = None
        self.needs: tuple[Need, ...] = ()
        self.step_run = self.stepper = None
        self._unique: UniqueRule | None = None
        if limit_key is not None:
            self.stored_limit_key = self._limit_key_of(limit_key, payload)
        if unique is not None or unique_key is not None or debounce is not None or max_wait is not None:
            self._unique = self._rule_of(check_unique(unique, unique_key, debounce, max_wait), payload)

    def _rule_of(self, rule: UniqueRule, payload: Any) -> UniqueRule:
        """Return the task's rule, with its key made of the payload."""
        if rule.debounce is not None and (self.delay or self.next_attempt_at):
            raise ConfigurationError("debounce says when the task is due; leave out delay and run_at")
        if callable(rule.key):
            given = self.payload if isinstance(payload, msgspec.Raw) else payload
            return msgspec.structs.replace(rule, key=key_of(rule.key, given))
        return rule

    def _limit_key_of(self, limit_key: LimitKey, payload: Any) -> str | None:
        check_limit_key(limit_key)
        if callable(limit_key):
            return limit_key_of(limit_key, self.payload if isinstance(payload, msgspec.Raw) else payload)
        return limit_key

    @classmethod
    def from_row(cls, row: TaskRow) -> Task:
        """Restore a task from its row.

        Raises:
            PayloadDecodeError: the row's metadata or result is not JSON.
        """
        task = cls.__new__(cls)
        task.id = row.id
        task.type = row.type
        task.external_id = row.external_id
        task._raw = row.payload  # noqa: SLF001 - a constructor of its own class
        task._payload_class = None  # noqa: SLF001 - the same
        task._decoded = msgspec.UNSET  # noqa: SLF001 - the same
        task.status = STATUS_OF.get(row.status) or cast("TaskStatus", row.status)  # of another program
        task.attempts = row.attempts
        task.errors = row.errors
        metadata = row.metadata
        task.metadata = {} if metadata in _EMPTY_METADATA else _decode_metadata(metadata)
        task.created_at = row.created_at
        task.updated_at = row.updated_at
        task.next_attempt_at = row.next_attempt_at
        task.delay = 0.0
        task.priority = row.priority
        task._wants_default = False  # noqa: SLF001 - the same
        task.result = None if row.result is None else decode_json(row.result, "result")
        task.claimed_by = row.claimed_by
        task.claims = row.claims
        task.lost_claims = row.lost_claims
        task.inserted = False
        task.unique_key = row.unique_key
        task.stored_limit_key = row.limit_key
        task.follow_ups = None
        task.flags = row.flags or 0
        task.flow_name = None
        task.needs = row.needs
        task.step_run = task.stepper = None
        task._unique = None  # noqa: SLF001 - the same
        return task

    @classmethod
    def from_any_row(cls, row: TaskRow) -> Task:
        """Restore a task of which not all need be readable: then it has no metadata, and its result is a text."""
        try:
            return cls.from_row(row)
        except PayloadDecodeError:
            task = cls.from_row(msgspec.structs.replace(row, metadata=None, result=None))
            task.result = None if row.result is None else row.result.decode("utf-8", "replace")
            return task

    def was_made_with(self, payload_class: Any) -> bool:
        """Return whether the task was made here, with a payload of exactly this class."""
        return self._payload_class is payload_class

    def apply_default_priority(self, priority: int) -> None:
        """Set the priority to the type's default, unless the task has one of its own."""
        if self._wants_default and not self.priority:
            self.priority = priority

    @property
    def limit_key(self) -> str | None:
        """The key under which the limits of its type count it; None for a task without one."""
        return self.stored_limit_key or None

    @property
    def unique_rule(self) -> UniqueRule | None:
        """The options that make the task unique; None for a task without any, and for one read from the table."""
        return self._unique

    @property
    def has_own_key(self) -> bool:
        """Whether the task was made with a unique key of its own."""
        return self._unique is not None and self._unique.key is not None

    def complete_unique(self, of_type: UniqueRule, key: str | None) -> None:
        """Take what the task's own options leave open from those of its type.

        Args:
            of_type: the rule of the type.
            key: what the rule of the type makes of the payload; None for the payload itself.

        Raises:
            ConfigurationError: the type debounces, and the task has a delay or run_at.
        """
        own = self._unique or UniqueRule(None)
        rule = own.completed_by(of_type, key)
        self._unique = rule if own.debounce is not None else self._rule_of(rule, None)

    @property
    def payload(self) -> Any:
        """The plain JSON value of the payload, decoded when first asked for.

        Raises:
            PayloadDecodeError: the text in the database is not JSON.
        """
        if self._decoded is msgspec.UNSET:
            self._decoded = decode_json(self._raw)
        return self._decoded

    @property
    def raw_payload(self) -> str:
        """The payload's JSON text, as the database holds it."""
        return self._raw.decode("utf-8", "replace")

    @property
    def payload_bytes(self) -> bytes:
        """The payload's JSON text as bytes."""
        return self._raw

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} {self.id} {self.status}>"


class TaskOptions(TypedDict, total=False):
    """The keywords of `Task`, which explains them."""

    external_id: str | None
    metadata: Mapping[str, Any] | None
    delay: float | timedelta | None
    run_at: datetime | None
    priority: int | None
    unique: Unique | None
    unique_key: UniqueKey | None
    debounce: float | timedelta | None
    max_wait: float | timedelta | None
    limit_key: LimitKey | None


class TypedTask(Task, Generic[PayloadT]):
    """A task whose payload is decoded as the handler's annotation says: `TypedTask[Email]`.

    One that you make yourself, for a test of a handler, has the payload that you give it.
    """

    __slots__ = ()

    def __init__(
        self,
        type: str,  # noqa: A002 - the column's name, fixed by the contract
        payload: PayloadT | msgspec.Raw = NO_TASK_PAYLOAD,
        **options: Unpack[TaskOptions],
    ) -> None:
        super().__init__(type, payload, **options)
        if not isinstance(payload, msgspec.Raw):
            self._decoded = payload

    @property
    def payload(self) -> PayloadT:
        """The payload, decoded before the handler was called; the plain JSON value if nothing said how.

        Raises:
            PayloadDecodeError: the text in the database is not JSON.
        """
        decoded: PayloadT = super().payload
        return decoded


def _decode_metadata(raw: bytes) -> dict[str, Any]:
    metadata = decode_json(raw, "metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise PayloadDecodeError(f"metadata must be a JSON object, not {type(metadata).__name__}")
    return metadata
