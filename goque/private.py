"""Directories that only one user can write to, so that their files come from that user."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

MAX_TEMPORARY: Final = 50


class PrivateDirectoryError(Exception):
    """Other users can access a directory; the message says what it must be."""


def default_base() -> Path:
    """Return the private directory of this user: under XDG_RUNTIME_DIR, or the system's temporary directory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "goque"
    temporary = Path(tempfile.gettempdir())
    if len(os.fsencode(temporary)) > MAX_TEMPORARY:
        temporary = Path("/tmp")  # noqa: S108 - sockets need a short path, and the directory below is checked
    return temporary / f"goque-{os.getuid()}"


def make_private(directory: Path) -> None:
    """Make a directory if it does not exist, and check that nobody else can have written to it.

    Raises:
        OSError: it cannot be made.
        PrivateDirectoryError: it is a link, no directory, or accessible to others.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise PrivateDirectoryError(f"{directory} must be a directory, not a link")
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PrivateDirectoryError(f"{directory} must belong to you alone (mode 0700)")
