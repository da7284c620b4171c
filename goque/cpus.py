"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUP: Final = Path("/proc/self/cgroup")


def available_cpus(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """Return how many CPUs this process may use, by its affinity and the quotas of its cgroups; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [_quota_v1(cgroups / "cpu"), *map(_quota_v2, _cgroups_v2(cgroups, own_cgroup))]
    return max(1, min([cpus, *(math.ceil(quota) for quota in quotas if quota)]))


def _cgroups_v2(cgroups: Path, own_cgroup: Path) -> list[Path]:
    """Return the cgroup of this process and all above it; the smallest quota counts."""
    try:
        lines = own_cgroup.read_text("utf-8", "replace").splitlines()
    except OSError:
        return [cgroups]
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    own = cgroups / (names[0] if names else "")
    return [own, *(above for above in own.parents if above.is_relative_to(cgroups))]


def _quota_v2(cgroup: Path) -> float | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # there is no quota, so the affinity alone decides


def _quota_v1(cgroup: Path) -> float | None:
    try:
        quota = int((cgroup / "cpu.cfs_quota_us").read_text("ascii"))
        period = int((cgroup / "cpu.cfs_period_us").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
