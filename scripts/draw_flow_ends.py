"""Draw docs/flows.svg: a flow in which a task has failed, the same after a reset, and after its second run.

The flow runs on a SQLite database, and is drawn as the dashboard draws it. Run it with the interpreter of .venv after
you change either; a test compares the file with its output.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import goque
from goque.dashboard.flow_drawing import FlowDrawing, FlowNode, draw_flow

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "flows.svg"
STATIC: Final = ROOT / "goque" / "dashboard" / "static"
SIDE, TITLE, GAP = 20, 30, 16
IDS: Final = ("fetch-1", "fetch-2", "fetch-3", "total-4", "mail-5", "tidy-6")

registry = goque.Registry()
outage = {"oslo"}


@registry.processor("fetch_sales", max_attempts=1)
def fetch_sales(shop: str) -> int:
    """Fail while a shop does not answer."""
    if shop in outage:
        raise ConnectionError(f"{shop} does not answer")
    return len(shop)


for other in ("add_up", "mail_report", "tidy"):
    registry.add_processor(other, goque.noop_task_processor)


def report() -> goque.Flow:
    """Return the flow of the page."""
    flow = goque.Flow("report")
    sales = [flow.add(fetch_sales, shop) for shop in ("prague", "oslo", "tokyo")]
    mail = flow.add("mail_report", "day", needs=[flow.add("add_up", "day", needs=sales)])
    flow.add("tidy", "day", needs=[mail], when="ended")
    return flow


def drawings() -> list[tuple[str, FlowDrawing]]:
    """Run the flow, and draw it each time that it has ended."""
    logging.disable(logging.CRITICAL)  # the failure is wanted
    with tempfile.TemporaryDirectory() as folder, goque.TaskQueueManager(f"sqlite:///{folder}/q.db") as queue:
        flow = queue.enqueue_flow(report())
        queue.drain_inline(registry)
        made = [("oslo does not answer", drawn(queue.get_flow(flow.id)))]
        outage.clear()
        queue.reset_attempts(flow.tasks[1].id)
        made.append(("after goque reset of that task", drawn(queue.get_flow(flow.id))))
        queue.drain_inline(registry)
        made.append(("and after it has run", drawn(queue.get_flow(flow.id))))
    return made


def drawn(flow: goque.FlowState) -> FlowDrawing:
    """Draw a flow with ids that are the same each time."""
    names = {task.id: name for task, name in zip(flow.tasks, IDS, strict=True)}
    return draw_flow(
        [
            FlowNode(
                names[task.id],
                task.type,
                task.status.value,
                tuple(names[need] for need in flow.needs.get(task.id, ())),
            )
            for task in flow.tasks
        ]
    )


def draw() -> str:
    """Return the picture as SVG."""
    panels = drawings()
    width = max(drawing.width for _, drawing in panels) + 2 * SIDE
    parts, y = [], SIDE
    for title, drawing in panels:
        parts.append(f'<text x="{SIDE}" y="{y + 14}" font-size="14" font-weight="bold">{title}</text>')
        inner = re.sub(r"<title.*?</title>|<desc.*?</desc>", "", str(drawing.svg))
        parts.append(re.sub(r"<svg [^>]*?class=", f'<svg x="{SIDE}" y="{y + TITLE}" class=', inner, count=1))
        y += TITLE + drawing.height + GAP
    size = f'viewBox="0 0 {width} {y}" width="{width}" height="{y}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" fill="#1f2937">'
    head = f"<title>A flow after a failure, a reset, and its second run</title><style>{styles()}</style>"
    paper = f'<rect width="{width}" height="{y}" rx="8" fill="#ffffff"/>'
    return "\n".join([start, head, paper, *parts, "</svg>", ""])


def styles() -> str:
    """Return the dashboard's styles of drawings, with the colours of its light pages."""
    page = (STATIC / "dashboard.css").read_text("utf-8")
    page = re.sub(r"light-dark\(([^(),]+|rgb\([^)]*\)), [^)]*\)", r"\1", page[: page.index(":root[")])
    light = dict(re.findall(r"(--[\w-]+): ([^;]+);", page))
    css = re.sub(r"/\*.*?\*/", "", (STATIC / "flow.css").read_text("utf-8"), flags=re.DOTALL)
    css = css[: css.index("@media")]  # nothing moves in a document
    css = re.sub(r"var\((--[\w-]+)\)", lambda found: light[found[1]], css)
    kept = [line for line in css.splitlines() if line.startswith(".") and ":hover" not in line]
    return "\n".join(line for line in kept if not line.startswith(".flow {"))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    target.write_text(draw(), "utf-8")
