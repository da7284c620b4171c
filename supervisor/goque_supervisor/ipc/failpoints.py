"""Named points at which the test suite lets a process fail. Without an environment variable they do nothing.

The variable names a directory. A process that reaches a point looks for a file of that name. If there is one, the
process removes it and does once what the file says: `kill` or `stop` itself, or raise the `error` of a database that
does not answer.

Another variable names a file to which each process appends the point and the time. `scripts/bench.d/hops.py` draws it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

from goque.errors import DatabaseUnavailableError

VARIABLE: Final = "GOQUE_TEST_FAILPOINTS"
TIMES_VARIABLE: Final = "GOQUE_TEST_POINT_TIMES"

POINTS: Final = (
    "claim.before",
    "claim.after_commit",
    "dispatch.before_send",
    "dispatch.after_send",
    "run.before_begin",
    "run.after_begin",
    "run.before_end",
    "run.after_end",
    "result.before_send",
    "result.after_send",
    "result.received",
    "mark.before",
    "settle.before",
    "settle.after_commit",
    "result.before_ack",
    "result.acknowledged",
)
"""The points, in the order in which a task passes them."""

STEP_POINTS: Final = (
    "step.before_send",
    "step.after_send",
    "step.before_commit",
    "step.after_commit",
    "step.after_answer",
)
"""The points that a recorded step passes, while its handler runs."""


TIMED_POINTS: Final = ("work.noticed", "job.received")
"""Further points, at which no test lets a process fail."""


def reached(name: str) -> None:
    """Mark a point that this process has reached; only tests and measurements use it."""


def _reach(name: str) -> None:
    armed = Path(os.environ[VARIABLE]) / name
    taken = armed.with_name(f"{name}.{os.getpid()}")
    try:
        armed.rename(taken)
    except FileNotFoundError:
        return
    match taken.read_text("ascii"):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "error":
            raise DatabaseUnavailableError(f"fail point {name}")


def _note_time(name: str) -> None:
    _times.write(f"{name} {time.monotonic_ns()}\n".encode())


if os.environ.get(VARIABLE):
    reached = _reach
elif os.environ.get(TIMES_VARIABLE):
    _times = Path(os.environ[TIMES_VARIABLE]).open("ab", buffering=0)  # noqa: SIM115 - as long as the process
    reached = _note_time
