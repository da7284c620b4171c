"""What is known of a process that died, and how the errors column says it. No I/O happens here."""

from __future__ import annotations

import re
from typing import Final

import msgspec

CRASHED: Final = "worker crashed"
_CRASH_LINE: Final = re.compile(rf"attempt \d+: {CRASHED}(: | in step )")


class CrashEvidence(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a process that died.

    Attributes:
        exit_code: its exit code, None if a signal ended it.
        signal: the number of the signal that ended it, None if it exited.
        max_rss: its peak memory in bytes, 0 where the system does not say.
        oom: what suggests that the kernel killed it for its memory, None if nothing does.
        stack: the Python stack that faulthandler wrote, None if it could not.
        stderr: the last lines it wrote to its standard error.
    """

    exit_code: int | None = None
    signal: int | None = None
    max_rss: int = 0
    oom: str | None = None
    stack: str | None = None
    stderr: str | None = None


def crash_cause(evidence: CrashEvidence, signal_name: str | None, step: str = "") -> str:
    """Say how a worker process ended: `worker crashed in step page-17: signal 11 (SIGSEGV)`.

    Args:
        evidence: what is known of the process.
        signal_name: the name of the signal that ended it.
        step: the names of the steps that ran, empty for none.
    """
    crashed = f"{CRASHED} in step {step}" if step else CRASHED
    if evidence.signal is not None:
        return f"{crashed}: signal {evidence.signal} ({signal_name or 'unknown'})"
    return f"{crashed}: exit code {evidence.exit_code}"


def crashes_since_reset(errors: str | None) -> int:
    """Count the crashes in the errors column since the last reset."""
    lines = (errors or "").splitlines()
    resets = [index for index, line in enumerate(lines) if line.startswith("reset attempts:")]
    # from the start of the line: an exception, a need or the name of a step may quote the text of a crash
    return sum(_CRASH_LINE.match(line) is not None for line in lines[resets[-1] if resets else 0 :])
