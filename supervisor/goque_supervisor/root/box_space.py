"""The space that the black boxes of a tree take in its run directory."""

from __future__ import annotations

from goque_supervisor.ipc.box_header import box_size
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.tree import Tree


def why_boxes_cannot_fit(run_directory: RunDirectory, tree: Tree) -> str | None:
    """Return a sentence if a tree's file system is too small for its black boxes, even when it is empty; else None.

    Space that others use now is no reason: boxes of a killed tree are deleted once its tasks are recovered.
    """
    needed = sum(group.workers * box_size(group.max_jobs) for group in tree.groups)
    capacity = run_directory.capacity()
    if needed <= capacity:
        return None
    workers = sum(group.workers for group in tree.groups)
    return (
        f"run directory {run_directory.base} is on a file system of {_mebibytes(capacity)}, and {workers} workers need "
        f"{_mebibytes(needed)} there; give another --run-dir"
    )


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
