"""Timers with a clock that the test moves."""

from __future__ import annotations

from goque_supervisor.root.timers import Timers


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_calls_come_when_they_are_due_and_in_the_order_in_which_they_were_planned() -> None:
    clock, called = Clock(), []
    timers = Timers(clock)
    for name, delay in (("late", 5), ("soon", 1), ("soon too", 1), ("now", 0)):
        timers.after(delay, lambda name=name: called.append(name))
    timers.run_due()
    assert called == ["now"]
    assert timers.seconds_left() == 1
    clock.now += 1.5
    assert timers.seconds_left() == 0
    timers.run_due()
    assert called == ["now", "soon", "soon too"]
    assert timers.seconds_left() == 3.5
    clock.now += 100
    timers.run_due()
    assert called[-1] == "late"
    assert timers.seconds_left() is None


def test_a_repeated_call_keeps_its_period_and_never_makes_up_for_lost_time() -> None:
    clock, called = Clock(), []
    timers = Timers(clock)
    timers.every(2, lambda: called.append(clock.now))
    for _ in range(6):
        clock.now += 1
        timers.run_due()
    assert called == [102, 104, 106]
    clock.now += 60
    timers.run_due()
    timers.run_due()
    assert called == [102, 104, 106, 166]


def test_a_call_that_plans_another_for_now_has_it_made_in_the_next_turn() -> None:
    clock, called = Clock(), []
    timers = Timers(clock)
    timers.after(0, lambda: timers.after(0.001, lambda: called.append("second")))
    timers.run_due()
    assert called == []
    clock.now += 0.001
    timers.run_due()
    assert called == ["second"]
