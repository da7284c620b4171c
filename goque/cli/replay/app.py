"""What the replays of one command share: the app, the processes of the replay, and how they are ended."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from goque.describe.near_names import describe_unknown_type
from goque.errors import UnknownTypeError
from goque_supervisor.replay.replayer import Replayer
from goque_supervisor.settings import SuperviseOptions


@contextmanager
def opened_replayer(app: str, database_url: str, log_level: str, *, shows_output: bool) -> Iterator[Replayer]:
    """Import an app, and end all processes of the replay after the block, also on SIGTERM, SIGHUP and Ctrl-C.

    Raises:
        ConfigurationError: the app does not import.
    """
    options = SuperviseOptions(app=app, database_url=database_url, log_level=log_level)
    with _stopped_by_signals(), Replayer(options, shows_output=shows_output) as replayer:
        yield replayer


def require_type(task_type: str, known: Sequence[str]) -> None:
    """Refuse a type that the app does not run.

    Raises:
        UnknownTypeError: it does not.
    """
    if task_type not in known:
        hint = describe_unknown_type(task_type, known) or "the app has no processors"
        raise UnknownTypeError(f"the app does not run tasks of type {task_type!r:.210}: {hint}")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: Any) -> NoReturn:
    del frame
    sys.exit(128 + number)
