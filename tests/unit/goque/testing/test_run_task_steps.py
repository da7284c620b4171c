"""Steps and signals of a handler that is run once, without a database."""

from __future__ import annotations

import msgspec
import pytest

import goque
from goque import Registry, Task
from goque.testing import run_task


class Page(msgspec.Struct):
    number: int
    text: str


def read(number: int) -> Page:
    return Page(number, "read now")


def handler(task):
    first = task.step("page-0", read, 0)
    task.sleep("cool", 60)
    return [first.text, task.wait_for("approved", timeout=60)]


@pytest.fixture
def registry():
    made = Registry()
    made.add_processor("scan", handler)
    return made


def test_steps_that_were_recorded_before_are_not_run_and_come_back_typed(registry):
    steps = {"page-0": Page(0, "read before"), "cool": None}
    run = run_task(registry, Task("scan"), steps=steps, signals={"approved": True})
    assert run.raise_for_error().returned == ["read before", True]


def test_the_steps_of_a_run_are_told(registry):
    run = run_task(registry, Task("scan"))
    assert run.steps == {"page-0": {"number": 0, "text": "read now"}}


def test_a_run_that_sleeps_is_due_again_when_the_sleep_is_over(registry):
    run = run_task(registry, Task("scan"))
    assert (run.status, run.attempts, run.delay) == ("new", 0, pytest.approx(60, abs=1))


def test_a_run_goes_on_with_the_steps_of_the_one_before(registry):
    first = run_task(registry, Task("scan"))
    second = run_task(registry, Task("scan"), steps={**first.steps, "cool": None})
    assert (second.status, second.delay) == ("new", pytest.approx(60, abs=1))
    third = run_task(registry, Task("scan"), steps=second.steps, signals={"approved": False})
    assert (third.status, third.returned) == ("done", ["read now", False])


def test_a_signal_that_comes_too_late_raises_in_the_handler(registry):
    run = run_task(registry, Task("scan"), steps={"cool": 0}, signals={"approved": goque.SignalTimeout})
    assert (run.status, run.errors) == (
        "error",
        "attempt 1: goque.SignalTimeout: the signal 'approved' has not come within 60s\n",
    )


def test_async_handlers_have_steps_too():
    registry = Registry()

    async def scan(task):
        return [await task.astep("page-0", read, 0), await task.await_signal("approved")]

    registry.add_processor("scan", scan)
    run = run_task(registry, Task("scan"), signals={"approved": 1})
    assert run.raise_for_error().returned == [Page(0, "read now"), 1]
    assert list(run.steps) == ["page-0"]


def test_a_value_that_cannot_be_json_is_refused_with_its_name(registry):
    with pytest.raises(goque.PayloadEncodeError, match="step 'page-0'"):
        run_task(registry, Task("scan"), steps={"page-0": object()})
    with pytest.raises(goque.PayloadEncodeError, match="signal 'approved'"):
        run_task(registry, Task("scan"), signals={"approved": object()})
