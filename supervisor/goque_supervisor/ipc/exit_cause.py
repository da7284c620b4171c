"""How a process ended, and its text for logs and errors. Standard library only."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class ExitCause:
    """How a process ended: an exit code or a signal, never both."""

    exit_code: int | None
    signal: int | None

    @classmethod
    def from_status(cls, code: int) -> ExitCause:
        """Convert the result of `os.waitstatus_to_exitcode`."""
        return cls(code, None) if code >= 0 else cls(None, -code)

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.exit_code}"
        return f"signal {self.signal} ({signal_name(self.signal)})"


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time signal" if number > 31 else "unknown"
