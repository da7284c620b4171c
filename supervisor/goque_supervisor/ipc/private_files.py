"""Open files that an earlier process of this user has left. Standard library only, because the root uses it."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_private_file(path: Path, max_bytes: int) -> bytes:
    """Read a file that an earlier process of this user has left, and reject anything else in its place.

    Raises:
        OSError: the file cannot be read, or is a link.
        ValueError: the file is not a regular one, belongs to another user, or is too large.
    """
    descriptor = open_private_file(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path.name} has more than {max_bytes} bytes")
    return data


def open_private_file(path: Path, flags: int) -> int:
    """Open a regular file of this user without blocking. Raises the errors of `read_private_file`."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    whose = "is not a regular file" if not stat.S_ISREG(status.st_mode) else "belongs to another user"
    raise ValueError(f"{path.name} {whose}")
