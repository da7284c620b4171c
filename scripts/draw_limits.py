"""Draw docs/limits.svg: which tenant's tasks four workers run, with turns and limits and without.

The tasks are claimed from a SQLite database as a supervisor claims them. Run it with the interpreter of .venv after you
change the order of claims; a test compares the file with its output.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from goque import Task, TaskQueueManager, open_storage
from goque.options import check_options
from goque.outcome import Outcome, OutcomeKind, settle
from goque.storage.contract import policy_of
from goque.task_rules.retry_policy import RetryPolicy

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "limits.svg"
WIDTH, HEIGHT, TOP, LEFT, SIDE, GAP = 880, 296, 92, 28, 30, 36
WORKERS, MAX_ROUNDS = 4, 8
BACKLOGS = {"acme": 14, "bolt": 5, "cora": 3}
COLOURS = {"acme": ("#e0f2fe", "#0369a1"), "bolt": ("#ede9fe", "#6d28d9"), "cora": ("#dcfce7", "#15803d")}


class Panel(NamedTuple):
    """One part of the picture: its title, the options of the processor, and whether tasks have keys."""

    title: str
    options: dict[str, Any]
    has_keys: bool = True


PANELS = (
    Panel("without limit_key", {}, has_keys=False),
    Panel("limit_key", {"limit_key": "tenant"}),
    Panel("limit_key, limit_per_key=2", {"limit_key": "tenant", "limit_per_key": 2}),
)


def rounds(panel: Panel) -> list[list[str]]:
    """Return the tenants whose tasks are claimed, one list for each time that all workers are free."""
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{folder}/goque.db")
        try:
            storage.migrate()
            storage.publish_types([policy_of("sync", check_options(panel.options)[0])])
            queue = TaskQueueManager(storage)
            for tenant, number in BACKLOGS.items():
                key = tenant if panel.has_keys else None
                queue.add_tasks([Task("sync", tenant, limit_key=key) for _ in range(number)])
            found = []
            while rows := storage.claim_due("sync", "node-1", WORKERS):
                found.append([Task.from_row(row).payload for row in rows])
                storage.settle_if_held(
                    [settle(Outcome(OutcomeKind.DONE), row, RetryPolicy()) for row in rows]
                )
            return found
        finally:
            storage.close()


def draw() -> str:
    """Return the picture as SVG."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        "<title>The order in which four workers run the tasks of three tenants</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
        *legend(),
    ]
    for index, panel in enumerate(PANELS):
        parts += draw_panel(panel.title, rounds(panel), LEFT + index * (MAX_ROUNDS * SIDE + GAP + 10))
    return "\n".join([*parts, "</svg>", ""])


def draw_panel(title: str, found: list[list[str]], x: int) -> list[str]:
    """Return the grid of one panel: a row for each worker, a column for each task that it runs."""
    parts = [f'<text x="{x}" y="{TOP - 14}" font-size="14" font-weight="bold" fill="#1f2937">{title}</text>']
    bottom = TOP + WORKERS * SIDE
    for column, tenants in enumerate(found):
        for worker in range(WORKERS):
            left, top = x + column * SIDE, TOP + worker * SIDE
            place = f'x="{left + 2}" y="{top + 2}" width="{SIDE - 4}" height="{SIDE - 4}" rx="4"'
            if worker >= len(tenants):
                parts.append(f'<rect {place} fill="none" stroke="#9ca3af" stroke-dasharray="3 3"/>')
                continue
            fill, stroke = COLOURS[tenants[worker]]
            parts.append(f'<rect {place} fill="{fill}" stroke="{stroke}"/>')
            parts.append(
                f'<text x="{left + SIDE / 2:g}" y="{top + 20}" text-anchor="middle" '
                f'fill="{stroke}">{tenants[worker][0]}</text>'
            )
    parts.append(f'<path d="M{x} {bottom + 10}H{x + MAX_ROUNDS * SIDE}" stroke="#6b7280"/>')
    for line, tenant in enumerate(BACKLOGS):
        columns = [column for column, tenants in enumerate(found, 1) if tenant in tenants]
        parts.append(
            f'<text x="{x}" y="{bottom + 32 + line * 18}" fill="#374151">{tenant}: first task at {columns[0]}, '
            f"last at {columns[-1]}</text>"
        )
    return parts


def legend() -> list[str]:
    """Return the line that says which tenant has how many tasks."""
    parts = ['<text x="28" y="34" fill="#374151">waiting, enqueued in this order:</text>']
    x = 236
    for tenant, number in BACKLOGS.items():
        fill, stroke = COLOURS[tenant]
        parts.append(f'<rect x="{x}" y="20" width="20" height="20" rx="4" fill="{fill}" stroke="{stroke}"/>')
        parts.append(f'<text x="{x + 28}" y="34" fill="#111827">{number} tasks of {tenant}</text>')
        x += 160
    parts.append(
        f'<rect x="{x}" y="20" width="20" height="20" rx="4" fill="none" stroke="#9ca3af" stroke-dasharray="3 3"/>'
    )
    parts.append(f'<text x="{x + 28}" y="34" fill="#111827">idle worker</text>')
    return parts


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    target.write_text(draw(), "utf-8")
