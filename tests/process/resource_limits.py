"""Limits for a tree: processes and memory by control groups, disk by a small file system."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
LIMITS = {"pids": ("pids.max", "pids.max"), "memory": ("memory.limit_in_bytes", "memory.max")}
"""The file that sets a limit, by what it limits: in version 1 of control groups, and in version 2."""


def unable(why: str) -> None:
    """Skip loudly what this machine cannot do; where all must be tested, fail."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why.upper())


@contextlib.contextmanager
def control_group(what: str, limit: int) -> Iterator[Path]:
    """Make a control group with one limit; pids written to the file that this gives belong to it."""
    first, second = LIMITS[what]
    name = f"goque-{uuid.uuid4().hex[:8]}"
    path = (ROOT / what if (ROOT / what).is_dir() else ROOT) / name
    try:
        path.mkdir()
        (path / (first if (path / first).exists() else second)).write_text(str(limit), "ascii")
    except OSError as error:
        unable(f"no control group for {what} can be made here: {error}")
    try:
        yield path / "cgroup.procs"
    finally:
        path.rmdir()


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount an empty file system of this size."""
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        unable(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no byte free for the length of the block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    yield
    ballast.unlink()
