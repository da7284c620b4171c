"""The run directory: sockets, black boxes and stderr files of one supervisor, private to its user.

Each supervisor creates its own directory under a base, `<base>/<pid>-<random>/`, and holds a lock in it while it is
alive. If the lock of a directory is free, its tree is dead, and the next tree reads its black boxes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from goque.private import (
    PrivateDirectoryError,
    default_base,
    is_taken,
    known_bases,
    make_base_elsewhere,
    make_private,
)
from goque_supervisor.ipc.private_files import read_private_file

log = logging.getLogger("goque.supervisor")

MAX_DESCRIPTION: Final = 1 << 20
MAX_SOCKET_PATH: Final = 107  # sun_path of Linux, less the NUL
_LOCK, _TREE, _METRICS = "lock", "tree.json", "metrics"
_NODE_ID: Final = re.compile("[0-9A-Za-z-]{36}")
_RUN_NAME: Final = re.compile("[0-9]+-[0-9a-f]{8}")


class RunDirectoryError(Exception):
    """The run directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class RunDirectory:
    """The locked directory of one run. It stays locked until the process that created it ends."""

    path: Path
    locks: tuple[int, ...]

    def endpoint(self, pool: str) -> str:
        """Return the ZeroMQ endpoint of a type. The type is hashed, because socket paths must be short."""
        return f"ipc://{self.path / name_key(pool)}.sock"

    def box(self, pool: str, slot: int, incarnation: int) -> Path:
        """Return the path of a worker's black box."""
        return self.path / f"{name_key(pool)}-{slot}-{incarnation}.box"

    def counters(self, role: str, task_type: str) -> Path:
        """Return the path of the counters of a role for a type."""
        return self.path / f"{name_key(task_type)}.{role}.counters"

    @property
    def metrics(self) -> Path:
        """The directory in which processes with the app keep the app's metrics."""
        return self.path / _METRICS

    @property
    def base(self) -> Path:
        """The directory that was given as --run-dir, or the default one."""
        return self.path.parent

    def capacity(self) -> int:
        """Return the bytes of the file system that this directory is on, used or not."""
        found = os.statvfs(self.path)
        return found.f_blocks * found.f_frsize

    def describe_tree(self, tree: dict[str, Any]) -> None:
        """Write a description of this tree, for the next tree that finds this directory after a crash.

        On a full disk there is none, and after a crash the healers return the tree's tasks like those of another node.
        """
        draft = self.path / f"{_TREE}.new"
        try:
            draft.write_text(json.dumps(tree), "utf-8")
            draft.rename(self.path / _TREE)
        except OSError as error:
            log.warning(
                "cannot write to the run directory %s (%s): "
                "after a crash, a healer returns the tasks of this tree after node_timeout",
                self.base,
                error.strerror,
            )

    def leave_black_boxes(self) -> None:
        """Delete only the sockets. The next tree reads the unwritten outcomes from the black boxes."""
        tree: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            tree = _description(self.path)
        self.describe_tree({**tree, "stopped": True})
        for path in self.path.glob("*.sock"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the directory and its contents.

        The lock is deleted last. If this process dies before, the next tree finds the directory and deletes it.
        """
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != _LOCK:
                    path.unlink(missing_ok=True)
            shutil.rmtree(self.path)


def name_key(name: str) -> str:
    """Return a short name for a type or a pool that is safe in a path."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def stderr_path(box: str | os.PathLike[str]) -> Path:
    """Return the file to which the worker with this black box writes its standard error."""
    return Path(box).with_suffix(".stderr")


def stack_path(box: str | os.PathLike[str]) -> Path:
    """Return the file to which the interpreter of this worker writes its last stack."""
    return Path(box).with_suffix(".stack")


def withheld_path(box: str | os.PathLike[str]) -> Path:
    """Return the file to which the worker of a replay writes the tasks that it does not enqueue."""
    return Path(box).with_suffix(".withheld")


def remove_worker_files(box: str | os.PathLike[str]) -> None:
    """Delete all files of one worker. A file that cannot be deleted now is deleted with the directory."""
    with contextlib.suppress(OSError):
        for path in Path(box).parent.glob(f"{Path(box).stem}.*"):
            path.unlink(missing_ok=True)


def open_run_directory(given: str | None, *, with_metrics: bool = False) -> RunDirectory:
    """Create and lock the directory of this run, under the given base or a private default one.

    Args:
        given: the base, None for the default one.
        with_metrics: whether to create the directory of the app's metrics too.

    Raises:
        RunDirectoryError: the base is not private, too long, not writable, or locked by another supervisor.
    """
    base = Path(given).absolute() if given else _default_base()
    _make_base(base)
    locks = []
    if given:
        locks.append(
            _lock(
                base / _LOCK,
                f"run directory {base} is in use by another supervisor; give each supervisor its own",
            )
        )
    path = base / f"{os.getpid()}-{secrets.token_hex(4)}"
    longest = len(os.fsencode(path)) + len("/0123456789ab.sock")
    if longest > MAX_SOCKET_PATH:
        raise RunDirectoryError(
            f"run directory {base} is too long: its socket paths would have {longest} bytes, and the limit "
            f"is {MAX_SOCKET_PATH}; give a shorter --run-dir"
        )
    hidden = base / f".{path.name}"  # hidden until it is locked, because other trees look for dead ones here
    try:
        hidden.mkdir(mode=0o700)
        locks.append(_lock(hidden / _LOCK, f"run directory {path} is in use"))
        if with_metrics:
            (hidden / _METRICS).mkdir(mode=0o700)
        hidden.rename(path)
    except OSError as error:
        raise RunDirectoryError(
            f"run directory {base} cannot be written: {error.strerror}; fix it or give another --run-dir"
        ) from error
    return RunDirectory(path, tuple(locks))


def abandoned_runs(base: Path) -> Iterator[tuple[RunDirectory, dict[str, Any]]]:
    """Lock the directories of dead trees, and yield each with the description that the tree wrote.

    The description is {} if the tree died before it could claim a task, or if the description cannot be read. In the
    second case the tree's owner names are unknown, so a healer returns its tasks like those of another node.
    """
    bases = known_bases()
    for path in _run_directories(bases if base in bases else [base]):
        try:
            lock = _lock(path / _LOCK, "alive")
        except RunDirectoryError:
            continue
        try:
            tree = _description(path)
        except (OSError, ValueError) as error:
            log.warning(
                "cannot identify the tree that used %s (%s): a healer returns its tasks after node_timeout",
                path,
                error,
            )
            tree = {}
        yield RunDirectory(path, (lock,)), tree


def _run_directories(bases: Iterable[Path]) -> Iterator[Path]:
    """Yield the run directories of this user, and ignore everything else.

    An empty one is deleted: its tree died at the end of its own clean-up. One without a lock file is logged.
    """
    for base in bases:
        for path in sorted(base.iterdir()):
            with contextlib.suppress(OSError):
                is_own = stat.S_ISDIR(path.lstat().st_mode) and not is_taken(path)
                if is_own and not path.name.startswith(".") and _has_lock(path):
                    yield path


def _has_lock(path: Path) -> bool:
    try:
        if stat.S_ISREG((path / _LOCK).lstat().st_mode):
            return True
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            path.rmdir()
            return False
    if _RUN_NAME.fullmatch(path.name):
        log.warning(
            "the run directory %s has no lock file: goque ignores it, and a healer returns its tasks after "
            "node_timeout; delete it if no supervisor uses it",
            path,
        )
    return False


def _description(path: Path) -> dict[str, Any]:
    """Return the description that a tree wrote, or {} if it died before it had a lease and could claim tasks.

    Raises:
        OSError: the description cannot be read.
        ValueError: it is not a description of a tree.
    """
    try:
        tree = json.loads(read_private_file(path / _TREE, MAX_DESCRIPTION))
    except FileNotFoundError:
        return {}
    except RecursionError as error:
        raise ValueError(f"{_TREE} is nested too deeply") from error
    if not isinstance(tree, dict) or not all(
        isinstance(tree.get(name), kind) for name, kind in (("boot", str), ("database", str), ("pid", int))
    ):
        raise ValueError(f"{_TREE} is not the description of a tree")
    if not isinstance(tree.get("owners"), list) or not all(map(_is_node_id, tree["owners"])):
        raise ValueError(f"{_TREE} names no owners")
    return tree


def _is_node_id(name: object) -> bool:
    return isinstance(name, str) and _NODE_ID.fullmatch(name) is not None


def _default_base() -> Path:
    try:
        base = default_base()
    except FileNotFoundError as error:
        raise RunDirectoryError(
            f"there is no place for the run directory ({error.strerror}); give --run-dir"
        ) from None
    if not is_taken(base):
        return base
    elsewhere = make_base_elsewhere()
    log.warning("%s belongs to another user: the run directory is in %s", base, elsewhere)
    return elsewhere


def _make_base(base: Path) -> None:
    try:
        make_private(base)
    except PrivateDirectoryError as error:
        raise RunDirectoryError(f"run directory {error}; fix it or give another --run-dir") from None
    except OSError as error:
        raise RunDirectoryError(
            f"run directory {base} cannot be made: {error.strerror}; give another --run-dir"
        ) from error


def _lock(path: Path, refusal: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise RunDirectoryError(refusal) from None
    return descriptor
