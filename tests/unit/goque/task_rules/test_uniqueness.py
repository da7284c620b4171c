"""The options for unique tasks: what is accepted, what is refused and how, and what a registry adds to a task."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goque import (
    ConfigurationError,
    DuplicateTaskError,
    GoqueError,
    InvalidPayloadFormatError,
    Registry,
    Task,
    TypedTask,
)
from goque.options import check_options
from goque.task import TaskOptions
from goque.task_rules.uniqueness import UniqueRule, stored_key

NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Order(msgspec.Struct):
    number: int
    note: str = ""


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"unique": "waiting", "unique_key": "k"}, "w:k"),
        ({"unique": "active", "unique_key": "a:b"}, "a:a:b"),
        ({"unique": timedelta(minutes=1), "unique_key": "k"}, f"t60/{int(NOW.timestamp()) // 60}:k"),
        ({"unique": 0.5, "unique_key": "k"}, f"t0.5/{int(NOW.timestamp()) * 2}:k"),
        ({"debounce": 5, "unique_key": "k"}, "w:k"),
        ({"unique": "waiting", "debounce": 5, "max_wait": 5, "unique_key": "k"}, "w:k"),
        ({"unique": "active", "unique_key": lambda payload: f"order-{payload['n']}"}, "a:order-1"),
    ],
)
def test_the_key_is_stored_with_how_long_it_is_held(options: TaskOptions, stored: str) -> None:
    task = Task("mail", {"n": 1}, **options)
    assert task.unique_rule is not None
    assert stored_key(task.unique_rule, task.payload_bytes, NOW) == stored


def test_a_key_of_a_raw_payload_gets_its_json_value() -> None:
    task = Task(
        "mail", msgspec.Raw(b'{"n": 7}'), unique="active", unique_key=lambda payload: str(payload["n"])
    )
    assert task.unique_rule == UniqueRule("active", "7")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"unique": "wating"}, "unique must be 'waiting', 'active' or seconds, not 'wating'"),
    ({"unique": True}, "unique must be 'waiting', 'active' or seconds, not True"),
    ({"unique": 0}, "unique must be more than 0 seconds"),
    ({"unique": -1}, "unique must be more than 0 seconds"),
    ({"unique": ["waiting"]}, "unique must be seconds or a timedelta"),
    ({"unique": "active", "unique_key": ""}, "unique_key must have 1 to 255 characters, not 0"),
    ({"unique": "active", "unique_key": "k" * 256}, "unique_key must have 1 to 255 characters, not 256"),
    ({"unique": "active", "unique_key": "a\nb"}, "unique_key 'a\\nb' has control characters"),
    ({"unique": "active", "unique_key": 7}, "unique_key must be text or a function of the payload, not 7"),
    ({"unique": "active", "unique_key": ["k"]}, "unique_key must be text or a function of the payload"),
    ({"debounce": 0}, "debounce must be more than 0 seconds"),
    ({"debounce": "soon"}, "debounce must be seconds or a timedelta"),
    ({"debounce": 30, "unique": "active"}, "debounce goes with unique='waiting', not with unique='active'"),
    ({"debounce": 30, "max_wait": 29}, "max_wait must be at least debounce, 30s, not 29s"),
    ({"max_wait": 30}, "max_wait needs debounce="),
    ({"unique": "waiting", "max_wait": 30}, "max_wait needs debounce="),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_wrong_option_is_refused_in_one_line(options: dict[str, Any], said: str) -> None:
    for refuse in (lambda: Task("mail", **options), lambda: check_options(options)):
        with pytest.raises(ConfigurationError) as refusal:
            refuse()
        assert str(refusal.value).startswith(said)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("when", [{"delay": 1}, {"run_at": NOW}])
def test_debounce_says_when_a_task_is_due(when: Any) -> None:
    with pytest.raises(ConfigurationError, match="leave out delay and run_at"):
        Task("mail", debounce=30, **when)


@pytest.mark.parametrize(
    ("unique_key", "said"),
    [
        (lambda payload: payload["who"], "unique_key raised KeyError: 'who'; it gets the payload"),
        (lambda payload: payload["n"], "what unique_key returns must be text, not 1"),
        (lambda _: "", "what unique_key returns must have 1 to 255 characters"),
        (lambda _: "k" * 256, "what unique_key returns must have 1 to 255 characters, not 256"),
        (lambda: "k", "unique_key raised TypeError: "),
    ],
)
def test_a_key_function_that_fails_is_refused(unique_key: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Task("mail", {"n": 1}, unique="active", unique_key=unique_key)
    assert str(refusal.value).startswith(said)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{tmp_path}/goque.db")


def ship(order: Order) -> None:
    del order


def test_a_key_without_unique_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="unique_key needs unique='waiting', 'active' or seconds"):
        registry.add_processor("ship", ship, unique_key="k")
    handler = registry.add_processor("ship", ship)
    with pytest.raises(ConfigurationError, match="unique_key needs unique="):
        handler.enqueue(Order(1), unique_key="k")
    with pytest.raises(ConfigurationError, match="unique_key needs unique="):
        registry.queue.add_task_in_background(handler.task(Order(1), unique_key="k"))
    registry.queue.wait_background_adds()
    assert registry.queue.get_tasks() == []


@pytest.mark.parametrize("payload", [Order(7), {"number": 7}, msgspec.Raw(b'{"number": 7, "note": "x"}')])
def test_a_processors_key_function_gets_the_decoded_payload(registry: Registry, payload: Any) -> None:
    handler = registry.add_processor(
        "ship", ship, unique="active", unique_key=lambda order: f"order-{order.number}"
    )
    first = handler.enqueue(Order(7))
    assert first.unique_key == "a:order-7"
    with pytest.raises(DuplicateTaskError) as refusal:
        handler.enqueue(payload)
    assert refusal.value.existing_id == first.id
    assert registry.queue.enqueue("ship", {"number": 8}).inserted


def test_the_key_function_of_a_handler_of_tasks_gets_the_json_value(registry: Registry) -> None:
    def whole(task: Task) -> None:
        del task

    def typed(task: TypedTask[Order]) -> None:
        del task

    registry.add_processor("whole", whole, unique="active", unique_key=lambda payload: str(payload["number"]))
    registry.add_processor("typed", typed, unique="active", unique_key=lambda order: str(order.number))
    for task_type in ("whole", "typed"):
        assert registry.queue.enqueue(task_type, {"number": 7}).unique_key == "a:7"


def test_a_call_may_say_otherwise(registry: Registry) -> None:
    handler = registry.add_processor(
        "ship", ship, unique="active", unique_key=lambda order: str(order.number)
    )
    assert handler.enqueue(Order(1), unique="waiting").unique_key == "w:1"
    assert handler.enqueue(Order(1), unique_key="own").unique_key == "a:own"
    assert str(handler.enqueue(Order(1), unique=60).unique_key).startswith("t60/")


def test_a_processor_debounces(registry: Registry) -> None:
    handler = registry.add_processor("ship", ship, debounce=30, max_wait=60, unique_key="all")
    first = handler.enqueue(Order(1))
    second = handler.enqueue(Order(2), on_conflict="raise")
    assert (second.id, second.inserted, second.payload["number"]) == (first.id, False, 2)
    with pytest.raises(ConfigurationError, match="leave out delay and run_at"):
        handler.enqueue(Order(3), delay=5)


def test_a_task_that_was_not_added_can_be_added_again(registry: Registry) -> None:
    handler = registry.add_processor("ship", ship, debounce=30, unique_key="all")
    task = handler.task(Order(1))
    with contextlib.closing(sqlite3.connect(":memory:")) as other, pytest.raises(GoqueError):
        registry.queue.add_task(task, conn=other)
    first = registry.queue.add_task(task)
    assert first.inserted
    assert registry.queue.add_task(task).id == first.id


def test_a_processors_key_function_that_fails_names_the_type(registry: Registry) -> None:
    handler = registry.add_processor("ship", ship, unique="active", unique_key=lambda order: order.customer)
    with pytest.raises(ConfigurationError, match=r"^type .ship.: unique_key raised AttributeError: "):
        handler.enqueue(Order(1))
    with pytest.raises(ConfigurationError, match=r"^type .ship.: unique_key raised AttributeError: "):
        registry.queue.add_tasks([Task("ship", Order(1)), Task("ship", Order(2))])
    assert registry.queue.get_tasks() == []


def test_a_payload_of_the_right_class_that_does_not_decode_is_refused(registry: Registry) -> None:
    handler = registry.add_processor("ship", ship, unique="active", unique_key=lambda order: order.note)
    said = (
        "type 'ship' takes Order, and the payload does not decode: Expected `int`, got `str` - at `$.number`"
    )
    with pytest.raises(InvalidPayloadFormatError, match=re.escape(said)):
        handler.enqueue(Order("seven"))  # type: ignore[arg-type]  # as callers without a type checker do
    assert registry.queue.get_tasks() == []


def test_a_registry_that_is_not_strict_keeps_its_keys(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db", strict=False)
    registry.add_processor("ship", ship, unique="active")
    registry.queue.enqueue("ship", {"number": 1})
    with pytest.raises(DuplicateTaskError):
        registry.queue.enqueue("ship", {"number": 1})


def test_a_window_keeps_the_rows_that_hold_it() -> None:
    options, _ = check_options({"unique": 86400, "cleaner_updated_at_time_ago": 60})
    assert options.cleaner_updated_at_time_ago == 86400
    options, _ = check_options({"unique": 60})
    assert options.cleaner_updated_at_time_ago == 10800
