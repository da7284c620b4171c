"""Compare the ratios with those of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figure import aligned


class BaselineError(Exception):
    """The file is not a report of --json; the message says so."""


def read(path: str) -> dict[str, Any]:
    """Read a report that --json wrote.

    Raises:
        BaselineError: the file cannot be read, or is not a report.
    """
    try:
        found = json.loads(Path(path).read_text("utf-8"))
        if isinstance(found["ratios"], dict) and isinstance(found["machine"], dict):
            return dict(found)
    except OSError as error:
        raise BaselineError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise BaselineError(f"{path} is not a report; write one with scripts/bench --json {path}")


def compare(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return a table of the ratios that both runs have. A change with a plus is an improvement."""
    rows = [("RATIO", "BASELINE", "NOW", "CHANGE")]
    for part in ("ratios", "peers"):
        for name, ratio in now.get(part, {}).items():
            old = before.get(part, {}).get(name)
            if isinstance(old, int | float) and old:
                rows.append((name, f"{old:.2f}", f"{ratio:.2f}", f"{100 * (ratio / old - 1):+.0f} %"))
    runs = [
        f"{run['machine'].get('run', 'other')} run at load {run['machine'].get('load', 'unknown')}"
        for run in (before, now)
    ]
    return "\n".join(["", f"from a {runs[0]} to a {runs[1]}:", "", *aligned(rows)])
