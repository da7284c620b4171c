"""A signal that comes while goque works for a handler is handled when that work is done."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from goque_supervisor.worker.held_signals import HeldSignals


class _CameError(Exception):
    pass


@pytest.fixture
def held() -> Iterator[HeldSignals]:
    signals = HeldSignals()

    def on_signal(number: int, frame: object) -> None:
        del frame
        if not signals.hold(number):
            raise _CameError

    before = signal.signal(signal.SIGUSR1, on_signal)
    yield signals
    signal.signal(signal.SIGUSR1, before)


def test_outside_of_a_block_it_raises_at_once(held: HeldSignals) -> None:
    with pytest.raises(_CameError):
        os.kill(os.getpid(), signal.SIGUSR1)
    with held:
        pass


def test_inside_it_raises_after_the_outermost_block(held: HeldSignals) -> None:
    done = []
    with pytest.raises(_CameError), held:  # noqa: PT012 - the order of the steps is what is tested
        with held:
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]
    with held:
        done.append("next")
    assert done[-1] == "next", "it is raised once"
