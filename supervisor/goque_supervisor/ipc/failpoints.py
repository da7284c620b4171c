"""Named points on a task's way at which the test suite lets a process fail; without its variable they do nothing.

The variable names a directory. A process that reaches a point for which a file is there takes the file away, and
does once what it says: `kill` and `stop` itself, or `error`, as if the database had not answered.
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
"""In the order in which a task passes them."""


def reached(name: str) -> None:
    """Note that this process is at a point; only the test suite makes anything of it."""


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
