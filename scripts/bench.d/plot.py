"""Plot a report of the workload `sweep` or `growth`: a picture for each thing that was varied, side by side.

Usage: plot.py REPORT.json PLOT.svg

It needs matplotlib: .venv/bin/pip install --editable '.[bench]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

try:
    import matplotlib as mpl
except ImportError:
    raise SystemExit("plot.py: matplotlib is missing; .venv/bin/pip install --editable '.[bench]'") from None

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "goque"  # makes the same file from the same figures
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen first
from matplotlib.axes import Axes  # noqa: E402

RATE: Final = "tasks a second"
TITLES: Final = {
    "sweep_batch_": ("tasks a claim may take (fetch_max_tasks), two workers", RATE),
    "sweep_workers_": ("workers, default batch", RATE),
    "growth_types_": ("types in one pool", RATE),
    "growth_supervisors_": ("supervisors on two cores", RATE),
    "growth_payload_": ("bytes of the payload", RATE),
    "growth_returned_": ("bytes of the result", RATE),
    "growth_finished_": ("finished tasks in the table", "claim of 100, ms"),
    "growth_waiting_": ("waiting tasks in the table", "claim of 100, ms"),
}
"""For each part of the names of figures: what was varied, and what was measured."""
WIDE: Final = 10_000
"""From this largest setting on, the settings are drawn on a logarithmic scale."""

Points = dict[str, list[tuple[int, float, float, float]]]


def points(figures: dict[str, Any], part: str) -> Points:
    """Return, for each backend, the setting, median, minimum and maximum of each point."""
    found: Points = {}
    for name, figure in figures.items():
        backend, _, rest = name.partition(".")
        if rest.startswith(part) and (setting := rest.removeprefix(part)).isdecimal():
            found.setdefault(backend, []).append(
                (int(setting), figure["value"], figure["min"], figure["max"])
            )
    return found


def draw(place: Axes, found: Points, varied: str, measured: str) -> None:
    """Draw one picture."""
    for backend, of_backend in found.items():
        settings, medians, least, most = zip(*sorted(of_backend), strict=True)
        place.plot(settings, medians, marker="o", label=backend)
        place.fill_between(settings, least, most, alpha=0.15)
    all_settings = sorted({point[0] for of_backend in found.values() for point in of_backend})
    if all_settings[-1] >= WIDE:
        place.set_xscale("symlog", linthresh=max(all_settings[0], 100))
        place.set_xlim(left=0 if all_settings[0] == 0 else None)
    else:
        place.xaxis.get_major_locator().set_params(integer=True)
    place.set_xlabel(varied)
    place.set_ylabel(measured)
    place.set_ylim(bottom=0)
    place.grid(alpha=0.3)


def main(report: str, plot: str) -> None:
    """Draw the pictures side by side, two in a row."""
    figures = json.loads(Path(report).read_text("utf-8"))["figures"]
    parts = {part: found for part in TITLES if (found := points(figures, part))}
    if not parts:
        raise SystemExit(f"plot.py: {report} has no figures of sweep or growth")
    height = -(-len(parts) // 2)
    drawing, places = plt.subplots(height, 2, figsize=(10, 3.6 * height), layout="constrained", squeeze=False)
    for place in places.flat[len(parts) :]:
        place.set_axis_off()
    for place, (part, found) in zip(places.flat, parts.items(), strict=False):
        draw(place, found, *TITLES[part])
    places[0][-1].legend()
    drawing.savefig(plot, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
