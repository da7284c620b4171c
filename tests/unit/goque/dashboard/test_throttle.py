"""How often a client may give a wrong token."""

from __future__ import annotations

from goque.dashboard.throttle import MAX_CLIENTS, MAX_WRONG, PERIOD, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refuse(throttle: Throttle, client: str, times: int = MAX_WRONG) -> None:
    for _ in range(times):
        throttle.note_wrong(client)


def test_a_client_waits_after_too_many_wrong_tokens_and_then_may_try_again():
    clock = Clock()
    throttle = Throttle(clock)
    refuse(throttle, "10.0.0.1", MAX_WRONG - 1)
    assert throttle.wait_for("10.0.0.1") == 0
    throttle.note_wrong("10.0.0.1")
    assert throttle.wait_for("10.0.0.1") == PERIOD
    assert throttle.wait_for("10.0.0.2") == 0
    clock.now += PERIOD
    assert throttle.wait_for("10.0.0.1") == 0
    throttle.note_wrong("10.0.0.1")
    assert throttle.wait_for("10.0.0.1") == 0


def test_the_right_token_clears_the_count():
    throttle = Throttle(Clock())
    refuse(throttle, "10.0.0.1", MAX_WRONG - 1)
    throttle.note_right("10.0.0.1")
    refuse(throttle, "10.0.0.1", MAX_WRONG - 1)
    assert throttle.wait_for("10.0.0.1") == 0


def test_the_addresses_of_one_ipv6_network_count_together():
    throttle = Throttle(Clock())
    for last in range(MAX_WRONG):
        throttle.note_wrong(f"2001:db8::{last:x}")
    assert throttle.wait_for("2001:db8::ffff")
    assert not throttle.wait_for("2001:db8:0:1::1")


def test_a_bounded_number_of_clients_is_remembered():
    throttle = Throttle(Clock())
    for number in range(MAX_CLIENTS + 10):
        refuse(throttle, f"host-{number}")
    assert not throttle.wait_for("host-0")
    assert throttle.wait_for(f"host-{MAX_CLIENTS + 9}")
