"""Every message between the root and its children is decoded as it was encoded; other bytes are refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque_supervisor.ipc import control
from goque_supervisor.ipc.control import (
    Beat,
    ProtocolError,
    Ready,
    StartChild,
    Stop,
    TakeOver,
    WorkerExited,
    WorkerStarted,
)

STARTED = WorkerStarted(1, 7, 4711, "1.7.ab", "/run/box")
EXITED = WorkerExited(7, 4711, "/run/box", None, 11, "timeout", 3, 1 << 20, "the kernel did it")
EXAMPLES = [
    Ready({"owner": "n1"}),
    control.BootFailed("no such table", 3),
    Beat(),
    control.DatabaseAway("the database is not available (refused)"),
    control.DatabaseBack(),
    control.LeaseRenewed(12.5, 3),
    control.Interrupt(7, 1 << 40, "canceled", 2.0),
    control.StackWanted(7),
    control.WorkersWanted(2, 0),
    control.Replace(7, "memory"),
    control.CrashSettled(7),
    control.Idle(idle=True, check=4),
    control.Drained(2),
    control.CommitsLost("n1", "claim 2 of task a was acknowledged, but the table has 1 claims"),
    control.CallbackWanted(1, "mail", '{"a": "ž"}'),
    control.CallbackDone(1, 2.5),
    control.AttemptsFailed(['{"a": "ž"}', "{}"]),
    control.FailureTold(),
    STARTED,
    EXITED,
    TakeOver(3, "n1", ["n0"], [STARTED, STARTED], [EXITED]),
    control.NewOwner(""),
    control.TakeNewName("n1"),
    control.Retire(7, "reload"),
    control.PauseClaiming(hold=False),
    control.Drain(),
    control.CheckIdle(9),
    control.TreeState({"types": {}}),
    control.SourceChanged(["app.py"], 1),
    Stop(),
    StartChild(1, {"role": "worker"}),
    control.ChildStarted(1, 4711),
    control.StartFailed(1, "out of processes"),
]


def test_there_is_an_example_of_every_message() -> None:
    assert {type(example) for example in EXAMPLES} == set(control.Message.__args__) - {ProtocolError}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: Any) -> None:
    frame = control.encode(message)
    assert struct.unpack("!I", frame[:4]) == (len(frame) - 4,)
    assert control.decode(frame[4:]) == message


@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_a_ValueError(body: bytes) -> None:  # noqa: N802 - the exception's name
    try:
        message = control.decode(body)
    except ValueError:
        return
    assert isinstance(message, control.Message)
