"""Handlers that are killed at each point of their steps, for real."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec
import psutil
import pytest

import goque
from goque import ConfigurationError, GoqueError, Registry, Task
from goque.testing import ended_need, goque_kill_at_every_step


def charge(file: Path) -> str:
    with file.open("a") as ledger:
        ledger.write("charged\n")
    return "receipt"


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def kill(handler, ledger, payload=None, **options):
    return goque_kill_at_every_step(
        handler,
        payload,
        state=lambda: lines(ledger),
        reset=lambda: ledger.unlink(missing_ok=True),
        **options,
    )


def test_a_handler_that_can_run_again_is_killed_at_each_point():
    def handler(task):
        first = task.step("first", lambda: 1)
        for item in task.each("item", "ab"):
            task.progress(0.5, item)
        task.sleep("cool", 3600)
        return [first, task.wait_for("approved"), task.step("last", lambda: 2)]

    assert goque_kill_at_every_step(handler, signals={"approved": "yes"}) == [
        "before step 'first'",
        "after step 'first', before it was recorded",
        "after step 'first' was recorded",
        "before step 'item-0'",
        "at progress 0.5 'a'",
        "after step 'item-0', before it was recorded",
        "after step 'item-0' was recorded",
        "before step 'item-1'",
        "at progress 0.5 'b'",
        "after step 'item-1', before it was recorded",
        "after step 'item-1' was recorded",
        "in sleep 'cool'",
        "while it waited for the signal 'approved'",
        "before step 'last'",
        "after step 'last', before it was recorded",
        "after step 'last' was recorded",
        "after the handler had ended, before its end was recorded",
    ]


def test_an_effect_without_a_key_is_found_between_the_step_and_its_record(ledger):
    def handler(task):
        return task.step("charge", charge, ledger)

    with pytest.raises(AssertionError) as caught:
        kill(handler, ledger)
    assert str(caught.value) == (
        "a kill changes what the handler leaves: it was killed after step 'charge', before it was recorded, "
        "and then run again\n"
        "without a kill: ['charged']\n"
        "after the kill: ['charged', 'charged']"
    )


def test_an_effect_that_describes_the_wanted_state_passes(ledger):
    def handler(task):
        task.step("charge", ledger.write_text, "charged\n")

    assert len(kill(handler, ledger)) == 4


def test_an_effect_outside_of_steps_is_found_at_the_first_kill_after_it(ledger):
    def handler(task):
        task.step("first", lambda: 1)
        charge(ledger)

    with pytest.raises(
        AssertionError, match="killed after the handler had ended, before its end was recorded"
    ):
        kill(handler, ledger)


def test_a_pause_runs_what_is_before_it_twice(ledger):
    def handler(task):
        charge(ledger)
        task.sleep("cool", 3600)

    with pytest.raises(AssertionError, match="killed in sleep 'cool'"):
        kill(handler, ledger)


def test_no_finally_runs_in_a_killed_process(ledger):
    def handler(task):
        try:
            task.step("first", lambda: 1)
        finally:
            ledger.write_text(f"{task.attempts}\n")

    with pytest.raises(AssertionError, match=r"without a kill: \['0'\]\nafter the kill: \['1'\]"):
        kill(handler, ledger)
    assert lines(ledger) == ["1"]


def test_without_a_state_what_is_returned_recorded_and_left_to_follow_is_compared():
    def handler(task):
        pid = task.step("first", lambda: "same")
        goque.follow_up("other", {"attempt": task.attempts})
        return pid

    with pytest.raises(AssertionError) as caught:
        goque_kill_at_every_step(handler)
    assert (
        "{'returned': 'same', 'steps': {'first': 'same'}, 'follow_ups': [('other', {'attempt': 0})]}"
        in str(caught.value)
    )
    assert "[('other', {'attempt': 1})]" in str(caught.value)


def test_async_handlers_are_killed_too():
    async def double(number):
        await asyncio.sleep(0)
        return number * 2

    async def handler(task):
        values = await asyncio.gather(task.astep("a", double, 1), task.astep("b", double, 2))
        async for number in task.aeach("item", [1]):
            task.progress(number)
        await task.asleep("cool", 60)
        return [*values, await task.await_signal("go")]

    points = goque_kill_at_every_step(handler, signals={"go": 3})
    assert points[:2] == ["before step 'a'", "before step 'b'"]
    assert len(points) == 6 + 4 + 3


class Order(msgspec.Struct):
    number: int


def test_registered_handlers_are_found_by_themselves_or_by_their_task():
    registry = Registry()

    @registry.processor("order", max_attempts=1)
    def order(order: Order) -> int:
        task = goque.current_task()
        task.step("first", lambda: 1)
        return order.number + len(task.needs)

    assert len(goque_kill_at_every_step(order, Order(7), needs=[ended_need("other")])) == 4
    assert len(goque_kill_at_every_step(order, order.task(Order(7)))) == 4
    assert len(goque_kill_at_every_step(registry, Task("order", {"number": 7}))) == 4
    with pytest.raises(ConfigurationError, match=r"must be a goque\.Task, whose type names the handler"):
        goque_kill_at_every_step(registry, {"number": 7})
    with pytest.raises(ConfigurationError, match="no processor is registered for type 'odrer'; did you mean"):
        goque_kill_at_every_step(registry, Task("odrer"))


def test_each_run_has_the_same_id_and_a_second_run_one_failed_attempt(ledger):
    ids = ledger.with_name("ids")

    def handler(task):
        with ids.open("a") as file:
            file.write(f"{task.id} {task.attempts}\n")
        task.step("first", lambda: 1)

    goque_kill_at_every_step(handler)
    told = [line.split() for line in lines(ids)]
    assert len({one for one, _ in told}) == 1
    assert [attempts for _, attempts in told] == ["0"] + ["0", "1"] * 4


def test_a_wait_that_nobody_ends_is_an_error_and_one_with_a_timeout_ends_at_once():
    with pytest.raises(AssertionError, match="it waits for the signal 'go'; give its value in signals="):
        goque_kill_at_every_step(lambda task: task.wait_for("go"))

    def handler(task):
        try:
            task.wait_for("go", timeout=60)
        except goque.SignalTimeout:
            return "too late"

    assert len(goque_kill_at_every_step(handler)) == 2
    assert len(goque_kill_at_every_step(handler, signals={"go": goque.SignalTimeout})) == 2


def test_a_handler_that_fails_says_so_with_its_traceback(ledger):
    def broken(task):
        raise ValueError("boom")

    with pytest.raises(
        AssertionError, match=r"(?s)fails in its first run, without a kill\nTraceback.*ValueError: boom"
    ):
        goque_kill_at_every_step(broken)

    def only_once(task):
        task.step("first", lambda: os.close(os.open(ledger, os.O_CREAT | os.O_EXCL)))

    wanted = r"(?s)in its second run, after a kill \(after step 'first', before it was recorded\)\n.*FileExistsError"
    with pytest.raises(AssertionError, match=wanted):
        kill(only_once, ledger)


def test_what_ends_a_test_ends_the_child_alone():
    def handler(task):
        pytest.fail("in the child")

    with pytest.raises(AssertionError, match="in the child"):
        goque_kill_at_every_step(handler)


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGTERM), r"signal 15 \(SIGTERM\)"),
        (lambda: os._exit(7), "exit code 7"),
    ],
)
def test_a_process_that_dies_by_itself_is_told_with_its_cause(end, cause):
    with pytest.raises(
        GoqueError, match=f"died at or after the point `before step 'end'`, by itself: {cause}"
    ):
        goque_kill_at_every_step(lambda task: task.step("end", end))


def test_a_state_that_is_not_put_back_is_an_error(ledger):
    def handler(task):
        task.step("charge", ledger.write_text, "charged\n")

    with pytest.raises(
        ConfigurationError, match=r"give reset= to put everything back to the start\nat the start: \[\]"
    ):
        goque_kill_at_every_step(handler, state=lambda: lines(ledger))
    ledger.unlink()
    with pytest.raises(ConfigurationError, match="reset= does not put everything back"):
        goque_kill_at_every_step(handler, state=lambda: lines(ledger), reset=lambda: None)


def test_a_state_that_is_not_there_at_the_start_may_raise(ledger):
    def handler(task):
        task.step("charge", ledger.write_text, "charged\n")

    assert goque_kill_at_every_step(
        handler, state=ledger.read_text, reset=lambda: ledger.unlink(missing_ok=True)
    )


def test_points_that_change_from_run_to_run_are_an_error(ledger):
    def handler(task):
        if not ledger.exists():
            task.step("first", lambda: 1)
        ledger.touch()

    with pytest.raises(
        ConfigurationError, match=r"ends before it can be killed after step 'first'.*1 points now, .* 4"
    ):
        goque_kill_at_every_step(handler, state=lambda: None)


def test_a_step_in_a_transaction_needs_the_queue():
    with pytest.raises(
        AssertionError, match=r"(?s)step 'charge' is recorded in your own transaction.*give .* the queue="
    ):
        goque_kill_at_every_step(lambda task: task.step("charge", lambda: 1, conn=object()))


def test_what_a_handler_prints_is_printed_once_for_each_run(capfd):
    def handler(task):
        sys.stdout.write(f"run {task.attempts} ")

    sys.stdout.write("before ")
    assert len(goque_kill_at_every_step(handler)) == 1
    assert capfd.readouterr().out == "before run 0 run 0 run 1 "


def test_progress_may_come_from_a_thread():
    def handler(task):
        threads = [threading.Thread(target=task.progress, args=[0.5]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return task.step("last", lambda: 1)

    assert len(goque_kill_at_every_step(handler)) == 8


def test_a_value_of_its_own_type_comes_back_in_the_second_run():
    def make() -> Order:
        return Order(7)

    def handler(task):
        return type(task.step("make", make)).__name__

    assert len(goque_kill_at_every_step(handler)) == 4


def test_nobody_is_left_behind():
    before = psutil.Process().children()
    goque_kill_at_every_step(lambda task: task.step("first", lambda: 1))
    assert psutil.Process().children() == before
