"""Handlers in every shape that users write them."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dill
import msgspec
import pytest

from goque import (
    ConfigurationError,
    PayloadDecodeError,
    Registry,
    Task,
    TaskCanceled,
    TaskProcessor,
    TypedTask,
    noop_task_processor,
    typed_task_processor,
)
from goque.handlers.processor import Processor
from goque.handlers.processor_table import processors_of
from goque.task_row import TaskRow

if TYPE_CHECKING:
    from decimal import Decimal


class Email(msgspec.Struct):
    to: str


@dataclass
class Size:
    width: int


class NotJson:
    pass


def row(payload: bytes = b'{"to": "a@b.c"}') -> TaskRow:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return TaskRow("id", "t", "key", payload, "processing", 0, None, b"{}", now, None, now)


def processor_of(handler: Any) -> Processor:
    registry = Registry()
    registry.add_processor("t", handler, workers=1)
    return processors_of(registry).get("t")


def argument_of(handler: Any, payload: bytes = b'{"to": "a@b.c"}') -> Any:
    return processor_of(handler).make_argument(row(payload))[1]


def refusal(handler: Any) -> str:
    with pytest.raises(ConfigurationError, match="processor of 't'") as raised:
        processor_of(handler)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def bare(task): ...  # type: ignore[no-untyped-def]  # as users write them
def plain(task: Task) -> None: ...
def anything(task: Any) -> None: ...
def typed(task: TypedTask[Email]) -> None: ...
def untyped(task: TypedTask) -> None: ...  # type: ignore[type-arg]  # as users write them
def payload_only(email: Email) -> None: ...
def listed(sizes: list[Size]) -> None: ...
def forward(task: TypedTask[Later]) -> None: ...
async def later(task: TypedTask[Email]) -> None: ...
def with_defaults(task: Task, retries: int = 3, *, loud: bool = False) -> None: ...
def starred(*tasks: Any) -> None: ...


class Later(msgspec.Struct):
    to: str


class Resizer:
    def process_task(self, task: TypedTask[Email]) -> None: ...


class AsyncResizer:
    async def process_task(self, task: Task) -> None: ...


class CallableObject:
    def __call__(self, email: Email) -> None: ...


class AsyncCallable:
    async def __call__(self, task: Task) -> None: ...


class Inherits(AsyncCallable):
    pass


class Bound:
    def method(self, email: Email) -> None: ...


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def configured(prefix: str, email: Email) -> None: ...


@pytest.mark.parametrize(
    "handler", [bare, plain, anything, with_defaults, starred, noop_task_processor, print]
)
def test_a_handler_without_a_payload_type_gets_the_task(handler: Any) -> None:
    task = argument_of(handler)
    assert type(task) is Task
    assert task.payload == {"to": "a@b.c"}


@pytest.mark.parametrize("handler", [typed, later, forward, Resizer(), decorated(typed)])
def test_a_typed_task_has_its_payload_decoded(handler: Any) -> None:
    task = argument_of(handler)
    assert isinstance(task, TypedTask)
    assert task.payload.to == "a@b.c"
    assert task.raw_payload == '{"to": "a@b.c"}'


def test_a_typed_task_of_anything_has_the_plain_value() -> None:
    assert argument_of(untyped).payload == {"to": "a@b.c"}


@pytest.mark.parametrize(
    "handler",
    [
        payload_only,
        CallableObject(),
        Bound().method,
        functools.partial(configured, "Re: "),
        decorated(payload_only),
    ],
)
def test_a_handler_annotated_with_a_payload_type_gets_the_payload(handler: Any) -> None:
    assert argument_of(handler) == Email("a@b.c")


def test_payload_types_are_all_that_json_gives() -> None:
    assert argument_of(listed, b'[{"width": 3}]') == [Size(3)]


def test_a_task_processor_object_keeps_the_protocol() -> None:
    assert isinstance(Resizer(), TaskProcessor)
    assert isinstance(typed_task_processor(bare, Email), TaskProcessor)


def test_a_payload_type_may_be_said_beside_the_handler() -> None:
    assert argument_of(typed_task_processor(bare, Email)).payload == Email("a@b.c")


@pytest.mark.parametrize("payload", [b'{"to": 3}', b"{}", b"not json", b'"\xff"', b"[" * 10_000])
def test_a_payload_that_does_not_decode_fails_or_cancels_as_asked(payload: bytes) -> None:
    for handler in (typed, payload_only, typed_task_processor(bare, Email)):
        with pytest.raises(PayloadDecodeError, match="payload does not decode"):
            argument_of(handler, payload)
    with pytest.raises(TaskCanceled, match="payload does not decode"):
        argument_of(typed_task_processor(bare, Email, cancel_on_decode_error=True), payload)


def test_an_undecodable_payload_reaches_a_plain_handler_undecoded() -> None:
    task = argument_of(plain, b"not json")
    with pytest.raises(PayloadDecodeError):
        _ = task.payload


@pytest.mark.parametrize(
    ("handler", "is_async"),
    [
        (plain, False),
        (later, True),
        (Resizer(), False),
        (AsyncResizer(), True),
        (CallableObject(), False),
        (AsyncCallable(), True),
        (Inherits(), True),
        (functools.partial(later), True),
        (typed_task_processor(later, Email), True),
        (print, False),
    ],
)
def test_async_handlers_are_known_by_their_definition(handler: Any, is_async: bool) -> None:
    assert processor_of(handler).spec.is_async is is_async


def generator(task: Task) -> Iterator[int]:
    yield 1


async def async_generator(task: Task) -> AsyncIterator[int]:
    yield 1


def unresolvable(amount: Decimal) -> None: ...


def test_handlers_that_could_never_run_are_refused() -> None:
    assert "not None" in refusal(None)
    assert "not 'send'" in refusal("send")
    assert "Resizer()" in refusal(Resizer)
    assert "generator" in refusal(generator)
    assert "generator" in refusal(async_generator)
    assert "one argument" in refusal(lambda: None)
    assert "one argument" in refusal(lambda a, b: None)
    assert "one argument" in refusal(lambda task, *, extra: None)


def test_annotations_that_lead_nowhere_are_refused() -> None:
    def set_of_two(value: list[int] | set[int]) -> None: ...
    def custom(value: NotJson) -> None: ...
    def typed_custom(task: TypedTask[NotJson]) -> None: ...

    set_of_two.__annotations__["value"] = list[int] | set[int]
    assert "cannot come from JSON" in refusal(set_of_two)
    assert "cannot come from JSON" in refusal(custom)
    assert "cannot come from JSON" in refusal(typed_custom)
    assert "name 'Decimal' is not defined" in refusal(unresolvable)
    assert "cannot come from JSON" in refusal(typed_task_processor(bare, NotJson))


def test_a_registry_with_typed_handlers_travels_to_other_processes() -> None:
    word = "closure"
    registry = Registry()
    registry.add_processor("typed", typed)
    registry.add_processor("payload", payload_only)
    registry.add_processor("lambda", lambda task: word, hooks_before=lambda task: None)
    registry.add_processor("cancels", typed_task_processor(bare, Email, cancel_on_decode_error=True))
    copy = dill.loads(dill.dumps(registry))
    assert copy.task_types == registry.task_types
    assert processors_of(copy).get("payload").make_argument(row())[1].to == "a@b.c"
    assert processors_of(copy).get("typed").make_argument(row())[1].payload.to == "a@b.c"
    assert processors_of(copy).get("lambda").call(None) == "closure"
    with pytest.raises(TaskCanceled):
        processors_of(copy).get("cancels").make_argument(row(b"{}"))


def test_a_function_written_in_c_is_taken_at_its_word() -> None:
    assert processor_of(operator.itemgetter(0)).spec.is_async is False


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(task: Any) -> Any:
        return function("session", task)

    return wrapper


def with_session_and_more(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function("session", *args)

    return wrapper


def unpacked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(task: Any) -> Any:
        return function(**task.payload)

    return wrapper


def two_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(session: Any, task: Any) -> Any: ...

    return wrapper


def test_a_wrapper_is_judged_by_its_own_signature() -> None:
    def injected(session: str, task: Task) -> tuple[str, Task]:
        return session, task

    def keywords(to: str) -> str:
        return to

    for wrap in (with_session, with_session_and_more):
        processor = processor_of(wrap(injected))
        task, argument = processor.make_argument(row())
        assert argument is task
        assert processor.call(argument) == ("session", task)
    processor = processor_of(unpacked(keywords))
    _, argument = processor.make_argument(row())
    assert processor.call(argument) == "a@b.c"
    with pytest.raises(ConfigurationError, match="must be callable with one argument"):
        processor_of(two_arguments(keywords))


def test_a_handler_without_a_parameter_is_refused_with_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="one argument, its payload or its task: it takes none"):
        processor_of(lambda: None)


class CallableWrapper:
    """Wraps a function in an object."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class WrappedMethods:
    @decorated
    def method(self, email: Email) -> None: ...

    @classmethod
    @decorated
    def of_class(cls, email: Email) -> None: ...

    @staticmethod
    @decorated
    def static(email: Email) -> None: ...

    @decorated
    def process_task(self, task: TypedTask[Email]) -> None: ...


def injected_by_keyword(email: Email, *, session: str) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        WrappedMethods().method,
        WrappedMethods().of_class,
        WrappedMethods.static,
        functools.partial(decorated(configured), "prefix"),
        decorated(functools.partial(configured, "prefix")),
        decorated(injected_by_keyword),
        functools.lru_cache(payload_only),
        functools.lru_cache(decorated(payload_only)),
        CallableWrapper(payload_only),
    ],
)
def test_a_wrapper_that_passes_all_on_takes_the_payload_that_the_inside_takes(handler: Any) -> None:
    assert isinstance(argument_of(handler), Email)


def test_a_wrapper_in_another_module_finds_the_annotations_of_the_inside() -> None:
    elsewhere: dict[str, Any] = {"Letter": Email}
    text = "from __future__ import annotations\ndef handler(letter: Letter) -> None: ..."
    exec(text, elsewhere)
    for wrap in (decorated, CallableWrapper):
        assert isinstance(argument_of(wrap(elsewhere["handler"])), Email)


def test_a_wrapper_that_passes_all_on_is_judged_by_what_it_wraps() -> None:
    for handler in (decorated(typed), decorated(decorated(typed)), WrappedMethods()):
        assert isinstance(argument_of(handler), TypedTask)
    assert argument_of(decorated(with_session(configured))).payload == {"to": "a@b.c"}
