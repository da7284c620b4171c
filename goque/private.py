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
    """Return the private directory of this user: under XDG_RUNTIME_DIR, or the system's temporary directory.

    An XDG_RUNTIME_DIR that this user cannot write to, as `sudo -u` leaves it, does not count.

    Raises:
        FileNotFoundError: no directory for temporary files can be written.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime) and os.access(runtime, os.W_OK | os.X_OK):  # noqa: PTH112 - Path raises an error where it may not look
        return Path(runtime) / "goque"
    return _temporary() / f"goque-{os.getuid()}"


def private_base() -> Path:
    """Return the default base; if another user has taken its name, one with a random name, if there is one."""
    base = default_base()
    return next(iter(_bases_elsewhere()), base) if is_taken(base) else base


def make_base_elsewhere() -> Path:
    """Return a base with a random name, for a user whose default one another user has taken; later runs find it."""
    found = _bases_elsewhere()
    return found[0] if found else Path(tempfile.mkdtemp(prefix=_elsewhere(), dir=_temporary()))


def ensure_temporary_directory(fallback: str) -> None:
    """Have temporary files made in a fallback where no usual directory can be written.

    Some packages, dill among them, ask for the directory at their import, and do not import without one.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ["TMPDIR"] = tempfile.tempdir = fallback


def known_bases() -> list[Path]:
    """Return the bases where this user's runs without a run directory of their own may be."""
    return [base for base in (default_base(), *_bases_elsewhere()) if base.is_dir() and not is_taken(base)]


def is_taken(directory: Path) -> bool:
    """Return whether something of another user has this name."""
    try:
        return directory.lstat().st_uid != os.getuid()
    except OSError:
        return False


def _bases_elsewhere() -> list[Path]:
    found = []
    for path in sorted(_temporary().glob(f"{_elsewhere()}*")):
        try:
            status = path.lstat()
        except OSError:
            continue  # deleted meanwhile
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            found.append(path)
    return found


def _temporary() -> Path:
    temporary = Path(tempfile.gettempdir())
    if len(os.fsencode(temporary)) > MAX_TEMPORARY:
        return Path("/tmp")  # noqa: S108 - sockets need a short path, and the directory below is checked
    return temporary


def _elsewhere() -> str:
    return f"goque-{os.getuid()}-"


def make_private(directory: Path) -> None:
    """Make a directory if it does not exist, and check that nobody else can have written to it.

    Raises:
        OSError: it cannot be made.
        PrivateDirectoryError: it is a link, no directory, accessible to others, or below a directory in which others
            could put another one in its place.
    """
    _check_parents(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise PrivateDirectoryError(f"{directory} must be a directory, not a link")
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PrivateDirectoryError(f"{directory} must belong to you alone (mode 0700)")


def _check_parents(directory: Path) -> None:
    for parent in Path(os.path.realpath(directory.parent), "x").parents:
        try:
            mode = parent.stat().st_mode
        except OSError:
            continue  # does not exist yet: it is made for this user alone
        if mode & 0o022 and not mode & stat.S_ISVTX:
            raise PrivateDirectoryError(
                f"{directory} is below {parent}, which others may write to (mode {stat.S_IMODE(mode):04o})"
            )
