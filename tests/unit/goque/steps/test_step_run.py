"""The calls of a handler about its steps, without a table: what runs, what is kept, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import goque
from goque import Registry, Task
from goque.execution.inline import InlineRunner, TaskRun, row_of, run_row
from goque.execution.inline_steps import MemorySteps
from goque.handlers.processor_table import processors_of
from goque.outcome import Outcome
from goque.steps.question import Progress
from goque.task_row import TaskStatus


class Page(msgspec.Struct):
    number: int


@dataclass
class Cut:
    path: Path


def page(number: int) -> Page:
    return Page(number)


def plain(value: Any):
    return value


def nothing() -> None:
    return None


async def awaited(value: int) -> int:
    await asyncio.sleep(0)
    return value


def cut() -> Cut:
    return Cut(Path("page.png"))


def run(handler: Any, steps: MemorySteps | None = None, **options: Any) -> TaskRun:
    registry = Registry()
    registry.add_processor("ocr", handler, store_result=True, **options)
    return run_row(registry, row_of(Task("ocr")), steps)


def test_a_recorded_step_is_not_run_again_and_its_value_is_the_same_in_each_run() -> None:
    calls: list[int] = []

    def count(number: int) -> Page:
        calls.append(number)
        return Page(number)

    def handler(task: Task) -> None:
        seen.append((task.step("page", count, 7), task.step("other", plain, {"a": (1, 2)})))

    seen: list[Any] = []
    steps = MemorySteps()
    for _ in range(2):
        run(handler, steps).raise_for_error()
    assert calls == [7]
    assert seen == [(Page(7), {"a": [1, 2]})] * 2
    assert steps.steps == {"page": b'{"number":7}', "other": b'{"a":[1,2]}'}


@pytest.mark.parametrize(
    ("function", "arguments", "options", "expected"),
    [
        (page, (1,), {}, Page(1)),
        (page, (1,), {"type": dict[str, int]}, {"number": 1}),
        (plain, ({"number": 2},), {}, {"number": 2}),
        (plain, ({"number": 2},), {"type": Page}, Page(2)),
        (nothing, (), {}, None),
        (lambda: [1], (), {}, [1]),
        (str, (5,), {}, "5"),
    ],
)
def test_a_value_is_decoded_by_the_annotation_or_by_type(
    function: Any, arguments: Any, options: Any, expected: Any
) -> None:
    ended = run(lambda task: seen.append(task.step("one", function, *arguments, **options)))
    ended.raise_for_error()
    assert seen == [expected]


seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def test_the_function_gets_the_arguments_and_not_those_of_the_step() -> None:
    def keywords(*args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]

    run(
        lambda task: seen.append(task.step("one", keywords, 1, name="n", function="f", type=Any))
    ).raise_for_error()
    assert seen == [[[1], {"name": "n", "function": "f"}]]


def test_each_goes_on_at_the_item_where_the_last_run_stopped() -> None:
    done: list[str] = []

    def handler(task: Task) -> None:
        for item in task.each("page", "abcd"):
            if item == "c" and fails:
                raise ValueError("on page c")
            done.append(item)

    steps, fails = MemorySteps(), [True]
    assert run(handler, steps).status == TaskStatus.ERROR
    assert sorted(steps.steps) == ["page-0", "page-1"]
    fails.clear()
    run(handler, steps).raise_for_error()
    assert done == list("abcd")
    assert sorted(steps.steps) == ["page-0", "page-1", "page-2", "page-3"]


def test_a_loop_that_breaks_records_the_items_before_that() -> None:
    def handler(task: Task) -> None:
        for item in task.each("page", range(9)):
            if item == 2:
                break

    steps = MemorySteps()
    run(handler, steps).raise_for_error()
    assert sorted(steps.steps) == ["page-0", "page-1"]


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (lambda task: task.step("one", nothing), goque.GoqueError),
        (lambda task: task.sleep("one", 0), goque.GoqueError),
        (lambda task: task.wait_for("one"), goque.GoqueError),
        (lambda task: list(task.each("one", [])), goque.GoqueError),
        (lambda task: task.step("", nothing), goque.ConfigurationError),
        (lambda task: task.step("x" * 201, nothing), goque.ConfigurationError),
        (lambda task: task.step("a\0b", nothing), goque.ConfigurationError),
        (lambda task: task.step(7, nothing), goque.ConfigurationError),
        (lambda task: task.step("two", "not a function"), goque.ConfigurationError),
        (lambda task: task.step("two", cut), goque.ConfigurationError),
        (lambda task: task.step("two", awaited, 1), goque.ConfigurationError),
        (lambda task: task.step("two", plain, "x" * 70_000), goque.InvalidPayloadFormatError),
        (lambda task: task.step("two", plain, {"deep": [object()]}), goque.PayloadEncodeError),
        (lambda task: task.sleep("two", -1), goque.ConfigurationError),
        (lambda task: task.sleep("two", float("nan")), goque.ConfigurationError),
        (lambda task: task.wait_for("two", timeout=-1), goque.ConfigurationError),
        (lambda task: task.progress(1.5), goque.ConfigurationError),
        (lambda task: task.progress(float("nan")), goque.ConfigurationError),
        (lambda task: task.progress(0.5, 7), goque.ConfigurationError),
        (lambda task: task.astep("two", awaited, 1).send(None), goque.GoqueError),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_no_step(second: Any, kind: type[Exception]) -> None:
    def handler(task: Task) -> None:
        task.step("one", nothing)
        second(task)

    steps = MemorySteps()
    ended = run(handler, steps)
    assert isinstance(ended.error, kind), ended.error
    assert list(steps.steps) == ["one"]


def test_an_error_names_the_step_and_the_place_in_its_value() -> None:
    ended = run(lambda task: task.step("pages", plain, {"deep": [object()]}))
    assert "step 'pages'.deep[0] of type object cannot be JSON" in str(ended.error)
    ended = run(lambda task: task.step("pages", plain, "x" * 70_000))
    assert "step 'pages' has 70002 bytes, more than max_result 65536" in str(ended.error)
    ended = run(lambda task: task.step("pages", page, 1), MemorySteps({"pages": b'"text"'}))
    assert "the value of step 'pages' does not decode: Expected `object`" in str(ended.error)


def test_a_step_that_raised_leaves_its_name_free() -> None:
    def handler(task: Task) -> Any:
        try:
            return task.step("one", int, "no number")
        except ValueError:
            return task.step("one", int, "5")

    assert run(handler).raise_for_error().returned == 5


def test_a_sleep_ends_the_run_uncharged_until_it_is_over() -> None:
    steps = MemorySteps()
    ended = run(lambda task: task.sleep("cool", 3600), steps)
    assert (ended.status, ended.attempts, ended.error.__class__.__name__) == ("new", 0, "StepPause")
    assert ended.delay == pytest.approx(3600, abs=5)
    steps.sleeps["cool"] -= 3601
    assert run(lambda task: task.sleep("cool", 3600), steps).status == TaskStatus.DONE


def test_a_handler_that_catches_every_exception_does_not_catch_a_sleep() -> None:
    def handler(task: Task) -> None:
        try:
            task.sleep("cool", 60)
        except Exception:  # noqa: BLE001 - the careless handler
            seen.append("went on")

    assert run(handler).status == TaskStatus.NEW
    assert seen == []


def test_a_signal_that_has_come_is_the_value_and_one_that_has_not_ends_the_run() -> None:
    def handler(task: Task) -> Any:
        return task.wait_for("approved", type=Page)

    ended = run(handler)
    assert (ended.status, ended.attempts) == ("new", 0)
    assert ended.delay is not None
    assert ended.delay > 3e9
    assert run(handler, MemorySteps(signals={"approved": b'{"number":3}'})).returned == Page(3)


def test_a_wait_past_its_timeout_raises() -> None:
    steps = MemorySteps()
    assert run(lambda task: task.wait_for("approved", timeout=60), steps).delay == pytest.approx(60, abs=5)
    steps.waits["approved"] -= 61
    error = run(lambda task: task.wait_for("approved", timeout=60), steps).error
    assert isinstance(error, goque.SignalTimeout)
    assert isinstance(error, TimeoutError)
    assert str(error) == "the signal 'approved' has not come within 60s"


def test_progress_is_kept() -> None:
    steps = MemorySteps()
    run(lambda task: task.progress(0.5, "x" * 300), steps).raise_for_error()
    assert steps.progress is not None
    assert (steps.progress.fraction, steps.progress.note) == (0.5, "x" * 200)


async def all_calls(task: Task) -> Any:
    first = await task.astep("one", awaited, 1)
    second = await task.astep("two", plain, 2)
    together = await asyncio.gather(*(task.astep(f"g{n}", awaited, n) for n in range(3)))
    items = [item async for item in task.aeach("item", "ab")]
    await task.asleep("cool", 0)
    task.progress(1)
    return [first, second, together, items, await task.await_signal("go")]


def test_async_handlers_have_the_same_calls() -> None:
    steps = MemorySteps(signals={"go": b"true"})
    assert run(all_calls, steps).raise_for_error().returned == [1, 2, [0, 1, 2], ["a", "b"], True]
    assert run(all_calls, steps).raise_for_error().returned == [1, 2, [0, 1, 2], [], True]


def test_an_async_handler_is_told_to_await() -> None:
    async def handler(task: Task) -> None:
        task.step("one", nothing)

    assert "await task.astep(…)" in str(run(handler).error)


@pytest.mark.parametrize(("sleeps", "expected"), [((30, 60), 30), ((60, 30), 30)])
def test_pauses_of_several_children_end_with_the_first(sleeps: tuple[int, int], expected: int) -> None:
    async def handler(task: Task) -> None:
        async with asyncio.TaskGroup() as group:
            for number, seconds in enumerate(sleeps):
                group.create_task(task.asleep(f"s{number}", seconds))

    ended = run(handler)
    assert (ended.status, ended.attempts) == ("new", 0)
    assert ended.delay == pytest.approx(expected, abs=5)


def test_outside_of_its_run_a_task_has_no_steps() -> None:
    kept: list[Task] = []
    run(kept.append)
    for task in (Task("ocr"), kept[0]):
        with pytest.raises(goque.GoqueError, match="call steps and progress in the handler"):
            task.step("one", nothing)
        with pytest.raises(goque.GoqueError, match="call steps and progress in the handler"):
            task.progress(0.5)


def test_what_a_handler_left_running_cannot_record_any_more() -> None:
    go_on = threading.Event()
    errors: list[Exception] = []

    def late(task: Task) -> None:
        go_on.wait(5)
        try:
            task.step("late", nothing)
        except goque.GoqueError as error:
            errors.append(error)

    threads: list[threading.Thread] = []

    def handler(task: Task) -> None:
        task.step("one", nothing)
        threads.append(threading.Thread(target=late, args=[task]))
        threads[0].start()

    steps = MemorySteps()
    run(handler, steps)
    go_on.set()
    threads[0].join()
    assert list(steps.steps) == ["one"]
    assert "the handler has ended" in str(errors[0])


def test_a_value_that_no_later_run_could_read_is_not_recorded() -> None:
    def says_int() -> int:
        return "bad"  # type: ignore[return-value]

    steps = MemorySteps()
    assert "the value of step 'one' does not decode: Expected `int`" in str(
        run(lambda task: task.step("one", says_int), steps).error
    )
    assert steps.steps == {}
    ended = run(lambda task: task.wait_for("go", type=int), MemorySteps(signals={"go": b'"bad"'}))
    assert "the value of signal 'go' does not decode: Expected `int`" in str(ended.error)


def test_a_handler_that_catches_even_a_pause_is_paused_all_the_same() -> None:
    def swallows(task: Task) -> str:
        with contextlib.suppress(BaseException):
            task.wait_for("approved", timeout=60)
        if task.payload:
            task.step("next", nothing)
        return "paid out without approval"

    for payload in ({}, {"goes": "on"}):
        registry, steps = Registry(), MemorySteps()
        registry.add_processor("ocr", swallows, store_result=True)
        ended = run_row(registry, row_of(Task("ocr", payload)), steps)
        assert (ended.status, ended.result, ended.delay) == ("new", None, pytest.approx(60, abs=5))
        assert steps.steps == {}


def test_a_pause_beside_a_step_lets_that_end_and_be_recorded() -> None:
    done: list[str] = []

    async def slow() -> str:
        await asyncio.sleep(0.01)
        done.append("slow")
        return "kept"

    async def handler(task: Task) -> None:
        await asyncio.gather(task.astep("slow", slow), task.await_signal("go", timeout=60))

    steps = MemorySteps()
    ended = run(handler, steps)
    assert (ended.status, ended.delay) == ("new", pytest.approx(60, abs=5))
    assert (done, steps.steps) == (["slow"], {"slow": b'"kept"'})


def test_progress_comes_with_the_end_of_a_run_that_is_not_done() -> None:
    outcome = outcome_of(lambda task: (task.progress(0.9, "all written"), task.sleep("nap", 60)))
    assert outcome.progress == Progress(0.9, "all written")
    assert outcome_of(lambda task: task.progress(1)).progress is None


def outcome_of(handler: Any) -> Outcome:
    registry = Registry()
    registry.add_processor("ocr", handler)
    with InlineRunner(lambda _row: MemorySteps()) as runner:
        return runner.run(processors_of(registry).get("ocr"), row_of(Task("ocr")))[0]


def test_the_type_of_a_function_is_remembered_without_the_function() -> None:
    held = threading.Event()
    references = sys.getrefcount(held)

    def handler(task: Task) -> None:
        def inside() -> int:
            return int(held.is_set())

        task.step("one", inside)

    run(handler).raise_for_error()
    del handler
    gc.collect()
    assert sys.getrefcount(held) == references
