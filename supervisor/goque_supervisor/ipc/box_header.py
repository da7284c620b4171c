"""The header of a black box, as its reader and its writer know it: 64-bit words, each with one writer."""

from __future__ import annotations

from typing import Final

MAGIC: Final = 0x31_58_4F_42_45_55_51_47  # "GQUEBOX1"
HEADER: Final = 128
MIN_HALF: Final = 128 * 1024
BYTES_A_JOB: Final = 256

HALF, POSITION, REVOKED, INTERRUPT_SEQ, INTERRUPT_REASON, KILL_AT, RUNNING, PID, STDERR_FROM = range(1, 10)
"""The numbers of the words; the first has `MAGIC`."""

USED_BITS: Final = 40
USED_MASK: Final = (1 << USED_BITS) - 1
FLIPS_MASK: Final = (1 << 64 - USED_BITS) - 1


def box_size(jobs: int) -> int:
    """Return the bytes of a box for so many jobs."""
    return HEADER + 2 * max(MIN_HALF, jobs * BYTES_A_JOB)
