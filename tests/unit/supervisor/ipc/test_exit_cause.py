"""How the end of a process is described."""

from __future__ import annotations

import signal

import pytest

from goque_supervisor.ipc.exit_cause import ExitCause, signal_name


@pytest.mark.parametrize(
    ("code", "cause", "text"),
    [
        (0, ExitCause(0, None), "exit code 0"),
        (3, ExitCause(3, None), "exit code 3"),
        (-11, ExitCause(None, 11), "signal 11 (SIGSEGV)"),
        (-9, ExitCause(None, 9), "signal 9 (SIGKILL)"),
        (-40, ExitCause(None, 40), "signal 40 (real-time signal)"),
    ],
)
def test_an_exit_has_a_code_or_a_signal(code: int, cause: ExitCause, text: str) -> None:
    assert ExitCause.from_status(code) == cause
    assert str(cause) == text


def test_every_signal_has_a_name() -> None:
    assert signal_name(signal.SIGBUS) == "SIGBUS"
    assert {signal_name(number) for number in range(1, 65)} >= {"SIGABRT", "real-time signal"}
    assert signal_name(0) == "unknown"
