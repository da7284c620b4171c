"""Plot the throughput by batch and by workers from a report of the workload `sweep`.

Usage: plot.py REPORT.json PLOT.svg

It needs matplotlib: .venv/bin/pip install --editable '.[bench]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

try:
    import matplotlib as mpl
except ImportError:
    raise SystemExit("plot.py: matplotlib is missing; .venv/bin/pip install --editable '.[bench]'") from None

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "goque"  # makes the same file from the same figures
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen first

TITLES = {
    "sweep_batch_": "tasks a claim may take (fetch_max_tasks), two workers",
    "sweep_workers_": "workers, default batch",
}


def points(figures: dict[str, Any], part: str) -> dict[str, list[tuple[int, float, float, float]]]:
    """Return, for each backend, the setting, median, minimum and maximum of each point."""
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    for name, figure in figures.items():
        backend, _, rest = name.partition(".")
        if rest.startswith(part):
            setting = int(rest.removeprefix(part))
            found.setdefault(backend, []).append((setting, figure["value"], figure["min"], figure["max"]))
    return found


def main(report: str, plot: str) -> None:
    """Draw the plots side by side."""
    figures = json.loads(Path(report).read_text("utf-8"))["figures"]
    drawing, places = plt.subplots(1, len(TITLES), figsize=(10, 4), sharey=True, layout="constrained")
    for place, (part, title) in zip(places, TITLES.items(), strict=True):
        for backend, found in points(figures, part).items():
            settings, medians, least, most = zip(*found, strict=True)
            place.plot(settings, medians, marker="o", label=backend)
            place.fill_between(settings, least, most, alpha=0.15)
        place.set_xlabel(title)
        place.grid(alpha=0.3)
    places[0].set_xscale("log")
    places[0].set_ylabel("tasks that do nothing, a second")
    places[0].set_ylim(bottom=0)
    places[1].xaxis.get_major_locator().set_params(integer=True)
    places[1].legend()
    drawing.savefig(plot, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
