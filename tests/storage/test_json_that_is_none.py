"""JSON that is none: refused at enqueue on every backend, by one text, and the caller's transaction stays usable."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from backends import Backend

from goque import (
    AsyncTaskQueueManager,
    InvalidPayloadFormatError,
    Task,
    TaskFilter,
    TaskQueueManager,
    with_tx,
)
from goque.storage.sql.storage import SqlStorage

RAW = {
    "no JSON": b"nope",
    "nothing": b"",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "single quotes": b"{'a': 1}",
    "cut": b'{"a": 1',
    "two values": b"1 2",
    "a value and a field": b'1,"b":2',
    "a value and an item": b"1,2",
    "a closing brace": b"1}",
    "not UTF-8": b'"\xff"',
    "a lone surrogate": b'"\\ud800"',
    "a NUL": b'"\\u0000"',
    "a raw NUL": b'"\x00"',
    "beyond numbers": b"1e400",
    "beyond small numbers": b"1e-99999",
    "beyond zero": b"0e-16384",
    "too many digits": b"0.%s1" % (b"0" * 20_000),
    "an exponent beyond all": b"0e2000000000",
    "a trailing comma": b"[1,]",
    "deep": b"[" * 200 + b"]" * 200,
}


class Holder(msgspec.Struct):
    inner: Any


class Model:
    """As a pydantic model: it says by itself what its JSON value is."""

    def model_dump(self, *, by_alias: bool = False, mode: str = "python", **_: Any) -> dict[str, Any]:
        del by_alias, mode
        return {"x": math.nan}

    def model_dump_json(self, *, by_alias: bool = False, **_: Any) -> str:
        del by_alias
        return '{"x": NaN}'


NESTED: dict[str, Callable[[bytes], Any]] = {
    "in a dict": lambda raw: {"x": msgspec.Raw(raw)},
    "in a list": lambda raw: [1, msgspec.Raw(raw)],
    "in a struct": lambda raw: Holder(msgspec.Raw(raw)),
    "deeper": lambda raw: {"x": [{"y": Holder({"z": msgspec.Raw(raw)})}]},
    "itself": msgspec.Raw,
}


def external_ids(queue: TaskQueueManager) -> list[str]:
    return sorted(task.external_id for task in queue.get_tasks(TaskFilter(), limit=100))


@pytest.fixture
def queue(storage: SqlStorage) -> TaskQueueManager:
    return TaskQueueManager(storage)


@pytest.mark.fault(55)
@pytest.mark.parametrize("where", sorted(NESTED))
def test_row_55_text_that_is_no_json_is_refused_wherever_it_is_nested(
    queue: TaskQueueManager, where: str
) -> None:
    accepted = []
    for name, raw in RAW.items():
        for on_conflict in ("raise", "skip"):
            try:
                task = Task("mail", NESTED[where](raw), external_id=f"{name} {on_conflict}")
                queue.add_tasks(
                    [Task("mail", 1, external_id=f"with {name} {on_conflict}"), task], on_conflict=on_conflict
                )
            except InvalidPayloadFormatError:
                continue
            except Exception as error:  # noqa: BLE001 - collected
                accepted.append(f"{name} ({on_conflict}): {type(error).__name__}: {error}")
            else:
                accepted.append(f"{name} ({on_conflict}): accepted")
    assert accepted == []
    assert external_ids(queue) == []


@pytest.mark.fault(55)
@pytest.mark.parametrize("how", ["enqueue", "add_task", "conn", "asyncio"])
def test_row_55_one_task_alone_is_refused_too(
    queue: TaskQueueManager, backend: Backend, storage: SqlStorage, how: str
) -> None:
    accepted = []
    for name, raw in RAW.items():
        payload = {"x": msgspec.Raw(raw)}
        try:
            if how == "enqueue":
                queue.enqueue("mail", payload)
            elif how == "add_task":
                queue.add_task(Task("mail", payload))
            elif how == "conn":
                with contextlib.closing(backend.connect()) as connection:
                    queue.enqueue("mail", payload, conn=connection)
                    connection.commit()
            else:
                asyncio.run(enqueue_with_asyncio(storage.url, payload))
        except InvalidPayloadFormatError:
            continue
        except Exception as error:  # noqa: BLE001 - collected
            accepted.append(f"{name}: {type(error).__name__}: {error}")
        else:
            accepted.append(f"{name}: accepted")
    assert accepted == []
    assert external_ids(queue) == []


async def enqueue_with_asyncio(url: str, payload: Any) -> None:
    async with AsyncTaskQueueManager(url) as queue:
        await queue.enqueue("mail", payload)


@pytest.mark.fault(55)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("raw", [b"nope", b"1e-99999", b"0.%s1" % (b"0" * 20_000)])
@pytest.mark.parametrize("column", ["payload", "metadata"])
def test_row_55_the_callers_transaction_stays_usable(
    queue: TaskQueueManager, backend: Backend, number: int, raw: bytes, column: str
) -> None:
    value = {"x": msgspec.Raw(raw)}
    given: dict[str, Any] = {column: value} if column == "payload" else {"payload": 1, column: value}

    def add_bad() -> None:
        bad = [Task("mail", external_id=f"bad{n}", **given) for n in range(number)]
        queue.add_task(bad[0]) if number == 1 else queue.add_tasks(bad)

    with contextlib.closing(backend.connect()) as connection:
        with with_tx(connection):
            queue.add_task(Task("mail", 1, external_id="before"))
            with pytest.raises(InvalidPayloadFormatError):
                add_bad()
            queue.add_task(Task("mail", 1, external_id="after"))
        connection.commit()
    assert external_ids(queue) == ["after", "before"]


@pytest.mark.fault(55)
@pytest.mark.parametrize("payload", [Model(), {"x": Model()}, [Model()], Holder(Model())])
def test_row_55_nan_by_a_models_own_encoder_is_refused(queue: TaskQueueManager, payload: Any) -> None:
    with pytest.raises(InvalidPayloadFormatError):
        queue.enqueue("mail", payload)
    with pytest.raises(InvalidPayloadFormatError):
        queue.add_tasks([Task("mail", 1), Task("mail", payload)], on_conflict="skip")
    assert external_ids(queue) == []


@pytest.mark.fault(55)
def test_row_55_nan_by_pydantics_own_encoder_is_refused(queue: TaskQueueManager) -> None:
    pydantic = pytest.importorskip("pydantic")

    class Measured(pydantic.BaseModel):  # type: ignore[misc] - an optional package
        x: float

    class MeasuredAsConstant(pydantic.BaseModel, ser_json_inf_nan="constants"):  # type: ignore[misc] - the same
        x: float

    for model in (Measured(x=math.nan), MeasuredAsConstant(x=math.inf)):
        for payload in (model, {"x": model}, [model]):
            with pytest.raises(InvalidPayloadFormatError):
                queue.enqueue("mail", payload)
    assert external_ids(queue) == []


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    "payload",
    [
        [msgspec.Raw(b"")],
        [msgspec.Raw(b'"a'), msgspec.Raw(b'b"')],
        {"a": msgspec.Raw(b"[1"), "b": msgspec.Raw(b"2]")},
    ],
)
def test_row_55_each_raw_is_one_value_even_where_all_together_are_json(
    queue: TaskQueueManager, payload: Any
) -> None:
    with pytest.raises(InvalidPayloadFormatError, match="is not JSON"):
        queue.enqueue("mail", payload)
    with pytest.raises(InvalidPayloadFormatError, match="is not JSON"):
        queue.add_tasks([Task("mail", 1, metadata={"k": payload})], on_conflict="skip")
    assert external_ids(queue) == []


@pytest.mark.fault(55)
def test_row_55_the_numbers_with_the_most_digits_are_stored(queue: TaskQueueManager) -> None:
    """What is refused begins where PostgreSQL's numeric ends."""
    for number in (b"1e-16383", b"0.%s1" % (b"0" * 16_382), b"1%s.5e-4000" % (b"0" * 4000)):
        task = queue.enqueue("mail", {"x": msgspec.Raw(number)}, metadata={"y": msgspec.Raw(number)})
        kept = queue.get_task(task.id)
        assert kept.payload == {"x": float(number)}
        assert kept.metadata == {"y": float(number)}


@pytest.mark.fault(55)
def test_row_55_metadata_is_checked_as_payloads_are(queue: TaskQueueManager) -> None:
    for value in (*map(msgspec.Raw, RAW.values()), math.nan, {"x": [msgspec.Raw(b"{")]}):
        with pytest.raises(InvalidPayloadFormatError):
            queue.add_task(Task("mail", 1, metadata={"k": value}))
    assert external_ids(queue) == []


@pytest.mark.fault(55)
def test_row_55_what_a_database_refuses_for_another_reason_is_no_duplicate(
    queue: TaskQueueManager, backend: Backend
) -> None:
    """A constraint of the database's owner: an error, and neither skipped nor called a duplicate."""
    if backend.name == "sqlite":
        backend.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON goque_task WHEN NEW.external_id = 'refused' "
            "BEGIN SELECT RAISE(ABORT, 'refused by the owner'); END"
        )
    else:
        backend.execute("ALTER TABLE goque_task ADD CONSTRAINT refuse CHECK (external_id <> 'refused')")
    for tasks in (
        [Task("mail", 1, external_id="refused")],
        [Task("mail", 1), Task("mail", 1, external_id="refused")],
    ):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of the driver or of goque, but no duplicate
            queue.add_tasks(tasks, on_conflict="skip")
        assert "Duplicate" not in type(raised.value).__name__
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the same
            queue.add_tasks(tasks)
        assert "Duplicate" not in type(raised.value).__name__
    assert external_ids(queue) == []
