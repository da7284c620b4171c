"""Named points at which the test suite lets a process fail. Without an environment variable they do nothing.

The variable names a directory. A process that reaches a point looks for a file of that name. If there is one, the
process removes it and does once what the file says: `kill` or `stop` itself, or raise the `error` of a database that
does not answer.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from goque.errors import DatabaseUnavailableError

VARIABLE: Final = "GOQUE_TEST_FAILPOINTS"

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


def reached(name: str) -> None:
    """Mark a point that this process has reached; only the test suite uses it."""


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


if os.environ.get(VARIABLE):
    reached = _reach
