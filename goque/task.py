"""A task: what an application enqueues, what a handler gets, and its row in the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, TypedDict, TypeVar, Unpack, cast

import msgspec

from goque.errors import ConfigurationError, PayloadDecodeError, length
from goque.identifiers import internal_id, new_task_id
from goque.payload import decode_json, encode_payload
from goque.task_checks import (
    check_delay,
    check_instant,
    check_metadata,
    check_name,
    check_priority,
    check_run_at,
)

PayloadT = TypeVar("PayloadT")

NO_TASK_PAYLOAD: Final = msgspec.Raw(b"{}")
"""The payload of a task without input data: an empty JSON object, as in the original."""

_EMPTY_METADATA: Final = (b"{}", None, b"")
"""The last is what the original reads so."""


class TaskStatus(StrEnum):
    """The status of a task; `pending` means claimed by a fetcher, as in the original."""

    NEW = "new"
    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    CANCELED = "canceled"
    ERROR = "error"
    ATTEMPTS_LEFT = "attempts_left"

    @property
    def is_terminal(self) -> bool:
        """Whether a task in this status is finished for good, unless somebody resets it."""
        return self in TERMINAL_STATUSES


TERMINAL_STATUSES: Final = frozenset({TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.ATTEMPTS_LEFT})
_STATUS_OF: Final[dict[str, TaskStatus]] = {status.value: status for status in TaskStatus}
_STATUSES: Final = tuple(TaskStatus)
CLAIMED_STATUSES: Final = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING})


class Token(NamedTuple):
    """One claim of one task. A write with the token of an older claim changes nothing."""

    task_id: str
    claims: int
    owner: str


class TaskRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `goque_task`, as storage reads it and as processes send it; payloads stay raw bytes."""

    id: str
    type: str
    external_id: str
    payload: bytes
    status: str
    attempts: int
    errors: str | None
    metadata: bytes | None
    created_at: datetime
    updated_at: datetime | None
    next_attempt_at: datetime
    priority: int = 0
    result: bytes | None = None
    claimed_by: str | None = None
    claims: int = 0
    lost_claims: int = 0

    @property
    def token(self) -> Token:
        """The token of the claim that this row shows."""
        return Token(self.id, self.claims, self.claimed_by or "")


class Task:
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

    Raises:
        ConfigurationError: the type, external id, metadata, delay, run_at or priority is not valid.
        PayloadEncodeError: the payload cannot be encoded.
        InvalidPayloadFormatError: the payload is too large, too deep, or has characters that a database cannot store.
    """

    __slots__ = (
        "_decoded",
        "_payload_class",
        "_raw",
        "_wants_default",
        "attempts",
        "claimed_by",
        "claims",
        "created_at",
        "delay",
        "errors",
        "external_id",
        "id",
        "lost_claims",
        "metadata",
        "next_attempt_at",
        "priority",
        "result",
        "status",
        "type",
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
        task.status = _STATUS_OF.get(row.status) or cast(
            "TaskStatus", row.status
        )  # another program may write others
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


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks `get_tasks` returns; fields left at None do not restrict.

    Attributes:
        ids: only these ids.
        task_type: only this type.
        status: only this status; together with `statuses`, either.
        statuses: only these statuses.
        updated_before: only tasks whose last move (or creation) is before this aware datetime.
        updated_at_time_ago: only tasks whose last move is this long ago or longer, by the database's clock.

    Raises:
        ConfigurationError: a field is of another type, or is no status, or a datetime without a time zone.
    """

    ids: Sequence[str] | None = None
    task_type: str | None = None
    status: TaskStatus | None = None
    statuses: Sequence[TaskStatus] | None = None
    updated_before: datetime | None = None
    updated_at_time_ago: float | timedelta | None = None

    def __post_init__(self) -> None:
        if self.ids is not None:
            for task_id in _checked_items("ids", self.ids):
                if not isinstance(task_id, str):
                    raise ConfigurationError(f"ids must be texts, not {task_id!r:.80}")
        if self.task_type is not None and not isinstance(self.task_type, str):
            raise ConfigurationError(f"task_type must be text, not {self.task_type!r:.80}")
        if self.status is not None:
            _check_status(self.status)
        for status in _checked_items("statuses", self.statuses or ()):
            _check_status(status)
        if self.updated_before is not None:
            check_instant("updated_before", self.updated_before)
        if self.updated_at_time_ago is not None:
            length(self.updated_at_time_ago, "updated_at_time_ago")


def _checked_items(name: str, value: object) -> Collection[Any]:
    if not isinstance(value, Collection) or isinstance(value, str | bytes):
        raise ConfigurationError(f"{name} must be a list, not {value!r:.80}")
    return value


def _check_status(status: object) -> None:
    if status not in _STATUSES:
        raise ConfigurationError(f"a status is one of {', '.join(TaskStatus)}, not {status!r:.80}")


def _decode_metadata(raw: bytes) -> dict[str, Any]:
    metadata = decode_json(raw, "metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise PayloadDecodeError(f"metadata must be a JSON object, not {type(metadata).__name__}")
    return metadata
