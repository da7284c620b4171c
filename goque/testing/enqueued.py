"""Assertions about enqueued tasks. A failure shows how the nearest task differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goque.handlers.handler import Handler
from goque.payload import decode_json, encode_payload
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus

if TYPE_CHECKING:
    from goque.queue.manager_base import ManagerBase

MAX_READ: Final = 1000
MAX_SHOWN: Final = 5
ANYTHING: Final = msgspec.UNSET
"""The default: any value of the attribute is accepted."""


class _Wanted(msgspec.Struct, frozen=True):
    """The attributes that a test wants."""

    type: str
    attributes: dict[str, Any]

    def differences(self, task: Task) -> list[str]:
        return [
            line
            for name, wanted in self.attributes.items()
            for line in _differences(wanted, _value_of(task, name), name)
        ]

    def __str__(self) -> str:
        words = [f"{name} {_shown(value)}" for name, value in self.attributes.items()]
        return f"task {self.type!r}" + (f" with {', '.join(words)}" if words else "")


def assert_enqueued(
    queue: ManagerBase,
    type: str | Handler[Any],  # noqa: A002 - the column's name, fixed by the contract
    *,
    payload: Any = ANYTHING,
    external_id: str | msgspec.UnsetType = ANYTHING,
    metadata: Any = ANYTHING,
    priority: int | msgspec.UnsetType = ANYTHING,
    status: TaskStatus | str | msgspec.UnsetType = ANYTHING,
    count: int | None = None,
    conn: Any = None,
) -> Task:
    """Assert that a task of a type is in the table, and return it, the newest of several.

    Args:
        queue: the manager of the database; also an asyncio one, without await.
        type: the task's type, or its handler.
        payload: the wanted payload, as an object or as the plain JSON value.
        external_id: the wanted external id.
        metadata: keys and values that its metadata must have; it may have more.
        priority: the wanted priority.
        status: the wanted status. By default any, so tasks that have run count too.
        count: the wanted number of such tasks; by default at least one.
        conn: a synchronous connection, to read in its transaction.

    Raises:
        AssertionError: there is no such task, or another number; the message shows the nearest tasks.
    """
    __tracebackhide__ = True
    given = {
        "payload": payload,
        "external_id": external_id,
        "metadata": metadata,
        "priority": priority,
        "status": status,
    }
    task_type = _type_of(type)
    wanted = _wanted(task_type, given)
    tasks = _tasks(queue, task_type, conn)
    found = [task for task in tasks if not wanted.differences(task)]
    if not found:
        raise AssertionError(_missing(wanted, tasks))
    if count is not None and len(found) != count:
        raise AssertionError(f"a {wanted} is enqueued {len(found)} times, not {count} times{_listed(found)}")
    return found[0]


def assert_not_enqueued(
    queue: ManagerBase,
    type: str | Handler[Any],  # noqa: A002 - the column's name, fixed by the contract
    *,
    payload: Any = ANYTHING,
    external_id: str | msgspec.UnsetType = ANYTHING,
    conn: Any = None,
) -> None:
    """Assert that no such task is in the table; see `assert_enqueued`.

    Raises:
        AssertionError: there are some; the message lists them.
    """
    __tracebackhide__ = True
    task_type = _type_of(type)
    wanted = _wanted(task_type, {"payload": payload, "external_id": external_id})
    found = [task for task in _tasks(queue, task_type, conn) if not wanted.differences(task)]
    if found:
        raise AssertionError(f"a {wanted} is enqueued{_listed(found)}")


def _type_of(given: str | Handler[Any]) -> str:
    return given.type if isinstance(given, Handler) else given


def _wanted(task_type: str, given: dict[str, Any]) -> _Wanted:
    attributes = {name: value for name, value in given.items() if value is not ANYTHING}
    for name in ("payload", "metadata"):
        if name in attributes:
            attributes[name] = decode_json(encode_payload(attributes[name], what=name), name)
    return _Wanted(task_type, attributes)


def _tasks(queue: ManagerBase, task_type: str, conn: Any) -> list[Task]:
    from goque.queue.manager import TaskQueueManager  # noqa: PLC0415 - a test with a queue has imported it
    from goque.queue.manager_storage import storage_of  # noqa: PLC0415 - the same

    looking = queue if isinstance(queue, TaskQueueManager) else TaskQueueManager(storage_of(queue))
    return looking.get_tasks(TaskFilter(task_type=task_type), MAX_READ, conn=conn)


def _value_of(task: Task, name: str) -> Any:
    return getattr(task, name)


def _differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    """Yield the differences of two JSON values; additional keys of metadata are no difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted | found if path != "metadata" else wanted:
            inner = f"{path}.{key}"
            if key not in found:
                yield f"{inner}: wanted {_shown(wanted[key])}, but it is missing"
            elif key not in wanted:
                yield f"{inner}: {_shown(found[key])} was not wanted"
            else:
                yield from _differences(wanted[key], found[key], inner)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif wanted != found or isinstance(wanted, bool) is not isinstance(found, bool):
        yield f"{path}: wanted {_shown(wanted)}, is {_shown(found)}"


def _missing(wanted: _Wanted, tasks: list[Task]) -> str:
    if not tasks:
        return f"no {wanted} is enqueued, and no other task of this type"
    nearest = sorted(tasks, key=lambda task: len(wanted.differences(task)))[:MAX_SHOWN]
    parts = [f"no {wanted} is enqueued; the nearest of {len(tasks)} of this type:"]
    for task in nearest:
        parts.append(f"  {_named(task)}")
        parts += [f"    {line}" for line in wanted.differences(task)]
    return "\n".join(parts)


def _listed(tasks: list[Task]) -> str:
    lines = [f"  {_named(task)} payload {_shown(task.payload)}" for task in tasks[:MAX_SHOWN]]
    more = [f"  and {len(tasks) - MAX_SHOWN} more"] if len(tasks) > MAX_SHOWN else []
    return ":\n" + "\n".join((*lines, *more))


def _named(task: Task) -> str:
    own = "" if task.external_id.startswith("internal-") else f" external_id {task.external_id!r}"
    return f"{task.id} {task.status}{own}"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode() if not isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
