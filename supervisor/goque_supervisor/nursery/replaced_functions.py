"""Functions of Python that an app replaces at its import, and without which no worker can run its tasks."""

from __future__ import annotations

import _thread
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Final

from goque.errors import ConfigurationError
from goque_supervisor.nursery.import_report import subject

COOPERATIVE: Final = ("gevent", "eventlet")
"""Packages whose replacements switch to other green threads where Python's own functions wait.

An exception that a signal handler raises, such as TaskTimeout, then ends whichever green thread runs. And a fork takes
along the loop of the process that it was forked from, which waits for that process's descriptors.
"""

_FUNCTIONS: Final[dict[str, Callable[[], Any]]] = {
    "_thread.start_new_thread": lambda: _thread.start_new_thread,
    "os.fork": lambda: os.fork,
    "select.select": lambda: select.select,
    "socket.socket": lambda: socket.socket,
    "subprocess.Popen": lambda: subprocess.Popen,
    "time.sleep": lambda: time.sleep,
}


def refuse_replaced_functions(app: str) -> None:
    """Refuse an app that has replaced functions of Python which workers need as they are.

    Raises:
        ConfigurationError: gevent or eventlet has patched Python, or the monotonic clock is not Python's own.
    """
    for package in COOPERATIVE:
        patched = [name for name, current in _FUNCTIONS.items() if _package_of(current()) == package]
        if patched:
            raise ConfigurationError(
                f"{subject(app)} patches Python with {package} at its import ({', '.join(patched)}), and workers "
                f"cannot run like that; patch in the program that needs it, such as the web server, or in a handler"
            )
    if not isinstance(time.monotonic, BuiltinFunctionType):
        raise ConfigurationError(
            f"{subject(app)} replaces time.monotonic at its import (by one of {_package_of(time.monotonic)}), and no "
            f"timeout would work; replace the clock in tests or in a handler"
        )


def _package_of(function: Any) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]
