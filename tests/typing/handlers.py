"""A project of a user's: what type checkers know of its handlers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar, assert_type

import msgspec

import goque

registry = goque.Registry("sqlite:///goque.db")
SizeT = TypeVar("SizeT")


class Email(msgspec.Struct):
    to: str


@registry.processor("payload", timeout=30)
def payload(email: Email) -> int:
    return len(email.to)


@registry.processor("typed")
def typed(task: goque.TypedTask[Email]) -> str:
    return task.payload.to


@registry.processor("whole")
def whole(task: goque.Task) -> None:
    del task


@registry.processor("anything")
def anything(task: Any, note: str = "") -> None:
    del task, note


@registry.processor("listed")
async def listed(emails: list[Email]) -> None:
    del emails


@registry.processor("optional")
def optional(number: int | None) -> None:
    del number


def logged(function: Callable[[SizeT], int]) -> Callable[[SizeT], int]:
    @functools.wraps(function)
    def inner(size: SizeT) -> int:
        return function(size)

    return inner


@registry.processor("decorated")
@logged
def decorated(size: float) -> int:
    return int(size)


class Resizer:
    def process_task(self, task: goque.TypedTask[Email]) -> bytes:
        return task.payload.to.encode()

    def send(self, email: Email) -> None:
        del email


def with_option(email: Email, width: int) -> None:
    del email, width


of_object = registry.add_processor("object", Resizer())
of_method = registry.add_processor("method", Resizer().send, workers=2)
of_type = registry.add_processor("explicit", goque.typed_task_processor(lambda task: task.payload.to, Email))
of_partial = registry.add_processor("partial", functools.partial(with_option, width=3))
noop = registry.add_processor("noop", goque.noop_task_processor)

sms = registry.declare("send_sms", payload=Email)
several = registry.declare("several", payload=list[Email])
of_go = registry.declare("of_go")


@registry.processor("new_name")
@registry.processor("old_name")
def renamed(email: Email) -> str:
    return email.to


part = goque.Registry(strict=False)
registry.include(part)

# it is called as before, by the names of its parameters too
assert_type(payload(email=Email("a")), int)
assert_type(typed(goque.TypedTask("typed", Email("a"))), str)
coroutine: Coroutine[Any, Any, None] = listed(emails=[])
assert_type(decorated(1.5), int)
assert_type(of_object(goque.TypedTask("object", Email("a"))), bytes)
anything(None, note="called as it is written")
whole(task=goque.Task("whole"))
of_method(Email("a"))

# it takes the payload of the annotation
assert_type(payload.enqueue(Email("a")), goque.Task)
payload.enqueue(Email("a"), external_id="a", delay=timedelta(hours=1), priority=5, conn=None)
typed.enqueue(Email("a"), metadata={"tenant": 7})
listed.enqueue([Email("a")])
optional.enqueue(None)
decorated.enqueue(1.5)
of_object.enqueue(Email("a"))
of_method.enqueue(Email("a"))
of_type.enqueue(Email("a"))
of_partial.enqueue(Email("a"))
payload.enqueue(msgspec.Raw(b'{"to": "a"}'))
assert_type(payload.task(Email("a"), run_at=None), goque.Task)
assert_type(payload.type, str)

assert_type(sms, goque.Handler[Email])
sms.enqueue(Email("a"), external_id="a")
several.enqueue([Email("a")])
assert_type(renamed(email=Email("a")), str)
renamed.enqueue(Email("a"))
of_go.enqueue()
of_go.enqueue({"any": "thing"})

# a whole task may have any, or none
whole.enqueue()
whole.enqueue({"order": 7}, external_id="order-7")
anything.task()
noop.enqueue()


async def enqueue() -> None:
    assert_type(await payload.aenqueue(Email("a"), conn=None), goque.Task)
    assert_type(await whole.aenqueue(), goque.Task)


def enqueue_by(handler: goque.Handler[Email]) -> None:
    handler.enqueue(Email("a"))


enqueue_by(payload)
enqueue_by(typed)
enqueue_by(of_method)
