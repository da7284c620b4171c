"""The handle of a type: it is called as its function is, and enqueues its tasks."""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dill
import msgspec
import pytest

import goque
from goque import Handler, Registry, Task, TaskStatus, TypedTask
from goque.handlers.processor_table import processors_of
from goque_supervisor.launch import _dump
from tests.unit.goque.handlers import shop_tasks
from tests.unit.goque.handlers.shop_tasks import Email


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db")
    yield registry
    registry._use_database(None)


def call_of(registry: Registry, task_type: str) -> Any:
    return processors_of(registry).get(task_type).call


def test_it_is_called_as_the_function_and_looks_like_it(registry: Registry) -> None:
    @registry.processor("double", workers=1)
    def double(number: int = 3, *, plus: int = 0) -> int:
        """Double a number."""
        return 2 * number + plus

    assert isinstance(double, Handler)
    assert (double(21), double(number=1, plus=1), double()) == (42, 3, 6)
    assert (double.__name__, double.__doc__, double.__module__) == ("double", "Double a number.", __name__)
    assert list(inspect.signature(double).parameters) == ["number", "plus"]
    assert double.type == "double"
    assert call_of(registry, "double") is double.__wrapped__
    assert repr(double).startswith("<goque.Handler 'double' of <function ")


def test_attributes_of_the_function_stay_and_hide_none_of_its_own(registry: Registry) -> None:
    def double(number: int) -> int:
        return 2 * number

    double.owner, double.enqueue, double.type = "ada", "no", "no"  # type: ignore[attr-defined]
    handler: Any = registry.add_processor("double", double)
    assert handler.owner == "ada"
    assert handler.type == "double"
    assert callable(handler.enqueue)


def test_a_coroutine_function_stays_one(registry: Registry) -> None:
    @registry.processor("fetch")
    async def fetch(email: Email) -> str:
        return email.to

    assert asyncio.run(fetch(Email("ada"))) == "ada"
    assert inspect.iscoroutinefunction(fetch)
    assert inspect.iscoroutinefunction(functools.partial(fetch, Email("ada")))
    assert processors_of(registry).get("fetch").spec.is_async


class Resizer:
    def __init__(self, width: int) -> None:
        self.width, self.type, self.enqueue = width, "mine", "mine"

    def process_task(self, task: Task) -> int:
        return self.width * int(task.payload["times"])

    def send(self, email: Email) -> str:
        return f"{email.to}, {self.width}"

    def __call__(self, email: Email) -> str:
        raise AssertionError(email)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return f"<{function(*args)}>"

    return inner


@decorated
def to_of(email: Email) -> str:
    return email.to


def test_objects_methods_partials_and_decorated_functions_are_called_as_they_are(registry: Registry) -> None:
    resizer = Resizer(4)
    of_object = registry.add_processor("object", resizer)
    assert of_object(Task("object", {"times": 2})) == 8
    assert of_object.type == "object"
    assert callable(of_object.enqueue)
    assert registry.add_processor("method", resizer.send)(Email("ada")) == "ada, 4"
    assert (
        registry.add_processor("partial", functools.partial(Resizer.send, resizer))(Email("ada")) == "ada, 4"
    )
    assert registry.add_processor("decorated", to_of)(Email("ada")) == "<ada>"
    typed = goque.typed_task_processor(lambda task: task.payload.to, Email)
    assert registry.add_processor("typed", typed)(TypedTask("typed", Email("ada"))) == "ada"


def test_one_function_under_two_types_has_two_handlers(registry: Registry) -> None:
    @registry.processor("fast")
    @registry.processor("slow")
    def send(email: Email) -> str:
        return email.to

    again = registry.add_processor("third", send)
    assert (send.type, again.type) == ("fast", "third")
    assert call_of(registry, "fast") is call_of(registry, "slow") is call_of(registry, "third")
    assert send(Email("ada")) == again(Email("bob")).replace("bob", "ada") == "ada"
    assert registry.task_types == ["slow", "fast", "third"]


def test_enqueue_inserts_a_task_of_its_type(registry: Registry) -> None:
    @registry.processor("send_email", priority=7)
    def send_email(email: Email) -> None: ...

    task = send_email.enqueue(
        Email("ada"), external_id="order-7", delay=timedelta(minutes=1), metadata={"a": 1}
    )
    found = registry.queue.get_task(task.id)
    assert (found.type, found.payload, found.external_id) == ("send_email", {"to": "ada"}, "order-7")
    assert (found.status, found.priority, found.metadata) == (TaskStatus.NEW, 7, {"a": 1})
    assert send_email.enqueue(Email("ada"), priority=-1).priority == -1
    assert send_email.enqueue(msgspec.Raw(b'{"to":"bob"}')).payload == {"to": "bob"}
    with pytest.raises(goque.DuplicateTaskError):
        send_email.enqueue(Email("ada"), external_id="order-7")

    async def scenario() -> Task:
        try:
            return await send_email.aenqueue(Email("ada"), external_id="order-8")
        finally:
            await registry.aclose()

    assert asyncio.run(scenario()).external_id == "order-8"


def test_task_makes_one_and_inserts_nothing(registry: Registry) -> None:
    @registry.processor("send_email")
    def send_email(task: TypedTask[Email]) -> None: ...

    task = send_email.task(Email("ada"), external_id="order-7", priority=3)
    assert (task.type, task.payload, task.external_id, task.priority) == (
        "send_email",
        {"to": "ada"},
        "order-7",
        3,
    )
    assert registry.queue.get_tasks() == []
    assert len(registry.queue.add_tasks([task, send_email.task(Email("bob"))])) == 2


@pytest.mark.parametrize("annotated", [True, False])
def test_a_handler_of_a_whole_task_needs_no_payload(registry: Registry, annotated: bool) -> None:
    def plain(task): ...

    def whole(task: Task) -> None: ...

    handler = registry.add_processor("t", whole if annotated else plain)
    assert handler.enqueue().payload == {}
    assert handler.task().payload == {}
    assert handler.enqueue([1], external_id="a").payload == [1]


def test_a_handler_of_a_payload_wants_one(registry: Registry) -> None:
    handler: Any = registry.add_processor("t", Resizer(1).send)
    with pytest.raises(TypeError, match="payload"):
        handler.enqueue()
    assert registry.queue.get_tasks() == []


@pytest.mark.parametrize(
    "wrong", [{"delay": "soon"}, {"priority": 101}, {"metadata": 3}, {"external_id": ""}]
)
def test_a_wrong_option_is_refused_and_nothing_is_enqueued(registry: Registry, wrong: Any) -> None:
    handler = registry.add_processor("t", goque.noop_task_processor)
    with pytest.raises(goque.ConfigurationError, match=next(iter(wrong))):
        handler.enqueue(**wrong)
    with pytest.raises(TypeError, match="externalid"):
        handler.enqueue(externalid="a")  # type: ignore[call-arg]
    assert registry.queue.get_tasks() == []


def test_it_is_pickled_as_its_name_and_so_is_its_function() -> None:
    assert pickle.loads(pickle.dumps(shop_tasks.send_email)) is shop_tasks.send_email
    assert dill.loads(dill.dumps(shop_tasks.send_email)) is shop_tasks.send_email
    stream = io.BytesIO()
    _dump(shop_tasks.registry, stream)
    copy = dill.loads(stream.getvalue())
    assert call_of(copy, "send_email") is shop_tasks.send_email.__wrapped__
    assert call_of(copy, "fetch") is shop_tasks.fetch.__wrapped__
    assert len(stream.getvalue()) < 4000  # names, and not the code


def test_one_without_a_name_is_pickled_as_it_is() -> None:
    registry = Registry()

    @registry.processor("echo")
    def echo(email: Email) -> Any:
        return echo.type, email.to

    stream = io.BytesIO()
    _dump(registry, stream)
    call = call_of(dill.loads(stream.getvalue()), "echo")
    assert call is not echo.__wrapped__
    assert call(Email("ada")) == ("echo", "ada")
    copy = dill.loads(dill.dumps(echo, recurse=True))
    assert (copy.type, copy(Email("ada"))) == ("echo", ("echo", "ada"))
