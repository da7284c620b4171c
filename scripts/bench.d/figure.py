"""A measured figure with its floor, and the report of all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Literal

LESS_IS_BETTER: Final = ("ms", "MiB", "%")


@dataclass(frozen=True)
class Figure:
    """The measurement of one workload, with one value for each round.

    Attributes:
        name: the key in the JSON, such as `sqlite.latency_p99`.
        unit: the unit of values and floors. For a time, a share or a size, less is better.
        values: goque's values.
        floors: the values of the same work without goque, measured in turns with goque; empty without a floor.
        floor_is: a description of the floor.
        compares: the part of the report for the ratio, or empty.
        rates: the name of the ratio, if it differs from the figure's.
    """

    name: str
    unit: str
    values: list[float]
    floors: list[float] = field(default_factory=list)
    floor_is: str = ""
    compares: Literal["", "ratios", "peers"] = ""
    rates: str = ""

    @property
    def ratio(self) -> float | None:
        """How close goque comes to the floor. 1 means equal, less is worse, for every unit.

        It is the median of the rounds' ratios, because a slow moment of the machine affects both sides of a round. If
        there are not as many floors as values, it is the ratio of the medians.
        """
        if not self.floors:
            return None
        pairs = list(zip(self.values, self.floors, strict=False))
        if len(self.values) != len(self.floors) or self.unit == "ms":
            pairs = [(median(self.values), median(self.floors))]
        if self.unit.startswith(LESS_IS_BETTER):
            pairs = [(floor, value) for value, floor in pairs]
        return median(above / below for above, below in pairs)


def report(machine: dict[str, Any], methods: dict[str, str], figures: list[Figure]) -> dict[str, Any]:
    """Return the report that --json writes."""
    return {
        "machine": machine,
        "methods": methods,
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
        "ratios": _ratios(figures, "ratios"),
        **({"peers": peers} if (peers := _ratios(figures, "peers")) else {}),
    }


def _ratios(figures: list[Figure], part: str) -> dict[str, float]:
    return {
        figure.rates or figure.name: round(figure.ratio, 4)
        for figure in figures
        if figure.compares == part and figure.ratio is not None
    }


def table(machine: dict[str, Any], methods: dict[str, str], figures: list[Figure]) -> str:
    """Return a text table with the medians and the spread over the rounds, and the methods below it."""
    rows = [("FIGURE", "MEDIAN", "UNIT", "FLOOR", "RATIO", "SPREAD", "THE FLOOR IS")]
    for figure in figures:
        floor = _short(median(figure.floors)) if figure.floors else "-"
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else "-"
        spread = f"{_short(min(figure.values))} .. {_short(max(figure.values))}"
        rows.append(
            (figure.name, _short(median(figure.values)), figure.unit, floor, ratio, spread, figure.floor_is)
        )
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(["", about, "", *aligned(rows), "", *aligned([*methods.items()])])


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a line for each row, with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
