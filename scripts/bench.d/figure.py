"""One measured figure, beside the floor that it is held against; how both are printed."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """What one workload measured, a value a round.

    Attributes:
        name: the key in the JSON, such as `sqlite.drain_noop`.
        unit: of values and floors alike.
        values: goque's.
        floors: what the same work costs without goque, measured in the same rounds; empty where there is no such thing.
        floor_is: what the floor is.
    """

    name: str
    unit: str
    values: list[float]
    floors: list[float] = field(default_factory=list)
    floor_is: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over floor: the median of the rounds, so that a slow moment of the machine hits both."""
        if not self.floors:
            return None
        return median(value / floor for value, floor in zip(self.values, self.floors, strict=True))


def report(described: dict[str, Any], figures: list[Figure]) -> dict[str, Any]:
    """Return what --json writes."""
    return {
        "machine": described,
        "figures": {
            figure.name: {
                "value": round(median(figure.values), 4),
                "unit": figure.unit,
                "min": round(min(figure.values), 4),
                "max": round(max(figure.values), 4),
                "rounds": len(figure.values),
                "floor": round(median(figure.floors), 4) if figure.floors else None,
                "floor_is": figure.floor_is or None,
            }
            for figure in figures
        },
        "ratios": {figure.name: round(figure.ratio, 4) for figure in figures if figure.ratio is not None},
    }


def table(described: dict[str, Any], figures: list[Figure]) -> str:
    """Return the table for people: medians, and the spread over the rounds."""
    rows = [("FIGURE", "MEDIAN", "UNIT", "FLOOR", "RATIO", "SPREAD", "THE FLOOR IS")]
    for figure in figures:
        floor = f"{median(figure.floors):,.4g}" if figure.floors else "-"
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else "-"
        spread = f"{min(figure.values):,.4g} .. {max(figure.values):,.4g}"
        rows.append(
            (figure.name, f"{median(figure.values):,.4g}", figure.unit, floor, ratio, spread, figure.floor_is)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    about = ", ".join(f"{name} {value}" for name, value in described.items())
    return "\n".join(["", about, "", *lines])


def machine() -> dict[str, Any]:
    """Describe where this runs, as far as the figures depend on it; the load is that before the first workload."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or sys.platform
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
