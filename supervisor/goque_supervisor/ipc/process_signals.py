"""The signals of a process that a nursery forks: no app and no handler decides how they begin."""

from __future__ import annotations

import os
import signal
from typing import Final

_DEFAULTS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)


def fork_without_signals() -> int:
    """Fork, and keep the signals of this process out of the child: returns as `os.fork` does.

    The child has copies of the handlers and of the wake-up descriptor. A signal to the whole process group, such as
    Ctrl-C, would reach the parent a second time through that descriptor, or be written to one that is closed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = 0
    try:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def reset_signals() -> None:
    """Undo what the parent, or the import of the app, did to signals, alarms and the signal mask."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(-1)
    for number in _DEFAULTS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, _disregard)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _disregard(number: int, frame: object) -> None:
    """Do nothing on Ctrl-C, which the root handles.

    SIG_IGN would do the same here, but a program that a handler starts would inherit it, and ignore SIGINT too.
    """
