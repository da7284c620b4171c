"""A registry's queue refuses unknown types, and payloads that the handler would not decode; nothing is enqueued."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

import goque
from goque import (
    ConfigurationError,
    InvalidPayloadFormatError,
    Registry,
    Task,
    TypedTask,
    UnknownTypeError,
    cron_job,
)
from goque.testing import enqueue_due_jobs
from tests.unit.goque.handlers.shop_tasks import Email


class Invoice(pydantic.BaseModel):
    number: int


@dataclass
class Size:
    width: int = 640


class Checked(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        decoded.append(self.number)
        if self.number < 0:
            raise ValueError("number must be 0 or more\nand more text")


decoded: list[int] = []


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db")
    handlers: list[Any] = [
        ("send_email", Email),
        ("typed", TypedTask[Email]),
        ("whole", Task),
        ("bare", TypedTask),
        ("many", list[Email]),
        ("invoice", Invoice),
        ("resize", Size),
        ("greet", str),
        ("count", int),
        ("checked", Checked),
    ]
    for name, annotation in handlers:

        def handler(payload: Any) -> None: ...

        handler.__annotations__["payload"] = annotation
        registry.add_processor(name, handler, cancel_on_decode_error=name == "greet")
    registry.declare("send_sms", payload=Email)
    registry.declare("go_task")
    yield registry
    registry._use_database(None)


RIGHT: list[tuple[str, Any]] = [
    ("send_email", Email("a")),
    ("send_email", {"to": "a", "more": 1}),
    ("send_email", msgspec.Raw(b'{"to":"a"}')),
    ("typed", Email("a")),
    ("typed", {"to": "a"}),
    ("whole", [1, 2]),
    ("bare", "anything"),
    ("many", [Email("a"), {"to": "b"}]),
    ("invoice", Invoice(number=7)),
    ("invoice", {"number": "7"}),
    ("resize", {}),
    ("resize", Size()),
    ("greet", "Ada"),
    ("count", 7),
    ("send_sms", Email("a")),
    ("go_task", None),
]
WRONG: list[tuple[str, Any, str]] = [
    (
        "send_email",
        {"to": 7},
        "type 'send_email' takes Email, and the payload does not decode: Expected `str`, got `int` - at `$.to`",
    ),
    ("send_email", {}, "missing required field `to`"),
    ("send_email", msgspec.Raw(b'["a"]'), "Expected `object`, got `array`"),
    ("typed", {"to": None}, "at `$.to`"),
    ("many", [Email("a"), {"to": 1}], r"takes list\[.*Email\], .* at `\$\[1\]\.to`"),
    ("many", Email("a"), "Expected `array`"),
    ("invoice", {"number": "seven"}, r"at `\$\.number`"),
    ("resize", {"width": "wide"}, r"at `\$\.width`"),
    ("greet", 7, "Expected `str`, got `int`"),
    ("count", True, "Expected `int`, got `bool`"),
    ("checked", {"number": -1}, "number must be 0 or more"),
    ("send_sms", {"too": "a"}, "type 'send_sms' takes Email"),
]


@pytest.mark.parametrize(("name", "payload"), RIGHT)
def test_what_the_handler_would_decode_is_enqueued(registry: Registry, name: str, payload: Any) -> None:
    assert registry.queue.enqueue(name, payload).type == name


@pytest.mark.parametrize(("name", "payload", "why"), WRONG)
def test_what_it_would_not_decode_is_refused_in_one_line(
    registry: Registry, name: str, payload: Any, why: str
) -> None:
    with pytest.raises(InvalidPayloadFormatError) as refusal:
        registry.queue.enqueue(name, payload)
    assert re.search(why if "\\" in why else re.escape(why), str(refusal.value))
    assert "\n" not in str(refusal.value)
    assert registry.queue.get_tasks() == []


def test_no_payload_is_refused_by_a_handler_that_takes_one(registry: Registry) -> None:
    with pytest.raises(
        InvalidPayloadFormatError, match=r"takes Email, and no payload was given, and \{\} does not decode"
    ):
        registry.queue.enqueue("send_email")
    assert registry.queue.enqueue("resize").payload == {}


def test_an_unknown_type_is_refused_with_the_nearest_one(registry: Registry) -> None:
    with pytest.raises(UnknownTypeError, match="no type 'sned_email'; did you mean 'send_email'") as refusal:
        registry.queue.enqueue("sned_email", Email("a"))
    assert isinstance(refusal.value, ConfigurationError)
    assert "\n" not in str(refusal.value)
    with pytest.raises(UnknownTypeError, match="did you mean 'send_sms'"):
        registry.queue.enqueue("send_sm")
    with pytest.raises(
        UnknownTypeError, match=r"it has 'send_email', .* and others; .*registry.declare\('zzz'\)"
    ):
        registry.queue.enqueue("zzz")
    with pytest.raises(UnknownTypeError, match="it has none at all; import the module of its handler"):
        Registry("sqlite:///never-opened.db").queue.enqueue("send_email")
    assert registry.queue.get_tasks() == []


def test_each_way_to_enqueue_refuses(registry: Registry) -> None:
    wrong, queue = Task("send_email", {"to": 7}), registry.queue
    for add in (queue.add_task, queue.add_task_in_background, lambda task: queue.add_tasks([task])):
        for task in (wrong, Task("sned_email")):
            with pytest.raises((InvalidPayloadFormatError, UnknownTypeError)):
                add(task)

    async def scenario() -> None:
        for task in (wrong, Task("sned_email")):
            for add in (registry.async_queue.add_task, registry.async_queue.add_task_in_background):
                with pytest.raises((InvalidPayloadFormatError, UnknownTypeError)):
                    await add(task)
            with pytest.raises((InvalidPayloadFormatError, UnknownTypeError)):
                await registry.async_queue.add_tasks([task])
        await registry.aclose()

    asyncio.run(scenario())
    assert queue.wait_background_adds(5)
    assert queue.get_tasks() == []


def test_many_are_added_all_or_not_at_all_and_the_wrong_one_is_numbered(registry: Registry) -> None:
    good = [Task("send_email", Email(str(number))) for number in range(3)]
    with pytest.raises(InvalidPayloadFormatError, match=r"^tasks\[3\]: type 'count' takes int"):
        registry.queue.add_tasks([*good, Task("count", "x")], on_conflict="skip")
    with pytest.raises(UnknownTypeError, match=r"^tasks\[1\]: .* no type 'nosuch'"):
        registry.queue.add_tasks(iter([good[0], Task("nosuch"), good[1]]))
    assert registry.queue.get_tasks() == []
    assert len(registry.queue.add_tasks(good)) == 3


def test_an_instance_of_the_annotated_class_is_not_decoded(registry: Registry) -> None:
    payload = Checked(3)
    decoded.clear()
    registry.queue.enqueue("checked", payload)
    assert decoded == []
    with pytest.raises(goque.DuplicateTaskError):
        registry.queue.add_tasks(
            [Task("checked", {"number": 3}, external_id="a"), Task("checked", payload, external_id="a")]
        )
    assert decoded == [3]


def test_a_handler_refuses_the_same(registry: Registry) -> None:
    sms: Any = Registry("sqlite:///never-opened.db").declare("sms", payload=Email)
    with pytest.raises(InvalidPayloadFormatError, match=r"\$\.to"):
        sms.enqueue({"to": 7})
    with pytest.raises(InvalidPayloadFormatError, match=r"\$\.to"):
        asyncio.run(sms.aenqueue({"to": 7}))


@pytest.mark.parametrize("strict", [True, False])
def test_only_a_strict_registry_checks(tmp_path: Path, strict: bool) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db", strict=strict)
    registry.add_processor("count", lambda number: None)
    queue = registry.queue if not strict else goque.TaskQueueManager(f"sqlite:///{tmp_path}/goque.db")
    assert queue.enqueue("nosuch", 7).payload == 7
    queue.close()


@pytest.mark.parametrize("wrong", [None, 1, "yes"])
def test_strict_is_a_flag(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="strict must be True or False"):
        Registry(strict=wrong)


def test_a_periodic_job_is_checked_like_any_call(registry: Registry) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 11, 23, tzinfo=UTC)
    registry.add_periodic_job(cron_job("wrong", "0 * * * *", lambda: Task("send_email", {"to": 7})))
    assert enqueue_due_jobs(registry, registry.queue, now) == []
    with pytest.raises(InvalidPayloadFormatError, match=r"\$\.to"):
        enqueue_due_jobs(registry, registry.queue, now + timedelta(hours=1))


def test_a_declared_type_has_a_handler_that_only_enqueues(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db")
    sms, anything = registry.declare("send_sms", payload=Email), registry.declare("go_task")
    assert (sms.type, anything.type) == ("send_sms", "go_task")
    assert sms.enqueue(Email("a")).type == "send_sms"
    assert anything.enqueue().payload == {}
    for handler in (sms, anything):
        with pytest.raises(TypeError, match="is declared as one that runs elsewhere"):
            handler(Email("a"))
    assert registry.task_types == []
    registry.queue.close()


def test_a_type_is_registered_or_declared_once(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="type 'send_sms' is declared already"):
        registry.declare("send_sms")
    with pytest.raises(ConfigurationError, match="type 'send_sms' is declared already"):
        registry.add_processor("send_sms", goque.noop_task_processor)
    with pytest.raises(ConfigurationError, match=r"type 'count' has a processor, .*handler, already"):
        registry.declare("count")


@pytest.mark.parametrize("payload", [object(), complex, "Email", Email("a"), lambda: 1])
def test_what_no_json_becomes_cannot_be_declared(payload: Any) -> None:
    registry = Registry()
    with pytest.raises(
        ConfigurationError, match=r"type 'sms' is declared with .*, which cannot come from JSON"
    ) as refusal:
        registry.declare("sms", payload=payload)
    assert "\n" not in str(refusal.value)
    registry.declare("sms")
    with pytest.raises(ConfigurationError, match="declaration of 'third'"):
        registry.add_processor("other", registry.declare("third"))


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", 5])
def test_a_type_that_no_database_keeps_is_not_declared(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="type"):
        Registry().declare(name)
