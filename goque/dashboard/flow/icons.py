"""How each status looks: a class for its colours, an icon, and a word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from goque.dashboard.flow.graph import BLOCKED
from goque.describe.status_words import word_of
from goque.task_row import TaskStatus

OTHER: Final = "other"

KINDS: Final[dict[str, str]] = {
    TaskStatus.DONE.value: "done",
    TaskStatus.PROCESSING.value: "running",
    TaskStatus.PENDING.value: "claimed",
    TaskStatus.NEW.value: "waiting",
    TaskStatus.ERROR.value: "retry",
    BLOCKED: "blocked",
    TaskStatus.ATTEMPTS_LEFT.value: "failed",
    TaskStatus.CANCELED.value: "canceled",
}
"""The kind of each status, which is the end of its class and of its icon's id, in the order of a summary."""

SHAPES: Final[dict[str, str]] = {
    "done": '<circle cx="8" cy="8" r="7" class="flow-solid"/><path d="M4.8 8.3l2.2 2.2 4.2-4.6" class="flow-cut"/>',
    "running": '<circle cx="8" cy="8" r="6.2" class="flow-ring"/><path d="M6.3 4.9v6.2L11.3 8z" class="flow-solid"/>',
    "claimed": '<circle cx="8" cy="8" r="6.2" class="flow-ring"/><circle cx="8" cy="8" r="2.4" class="flow-solid"/>',
    "waiting": '<circle cx="8" cy="8" r="6.2" class="flow-ring"/><path d="M8 4.6V8l2.4 1.6" class="flow-ring"/>',
    "retry": '<path d="M13.6 6.2A6 6 0 1 0 14 9" class="flow-ring"/><path d="M14.9 2.6v4.6h-4.6z" class="flow-solid"/>',
    "blocked": '<rect x="3" y="7" width="10" height="7.2" rx="1.6" class="flow-solid"/>'
    '<path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2" class="flow-ring"/>',
    "failed": '<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z" class="flow-solid"/>'
    '<path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" class="flow-cut"/>',
    "canceled": '<circle cx="8" cy="8" r="6.2" class="flow-ring"/><path d="M3.8 3.8l8.4 8.4" class="flow-ring"/>',
    OTHER: '<circle cx="8" cy="8" r="6.2" class="flow-ring"/><path d="M5 8h6" class="flow-ring"/>',
}
"""The shapes of the icons, 16 by 16 units; they differ without their colours."""


@dataclass(frozen=True)
class StatusLook:
    """The class, the icon and the word of a status."""

    kind: str
    word: str


def look_of(status: str) -> StatusLook:
    """Return how a status looks; one that goque does not know is grey."""
    if status == TaskStatus.ERROR:
        return StatusLook("retry", "retrying")
    return StatusLook(KINDS.get(status, OTHER), word_of(status))


def in_order(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return counts by status in the order of `KINDS`; the statuses that goque does not know are last."""
    order = {status: place for place, status in enumerate(KINDS)}
    return sorted(counts.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0]))


def definitions() -> str:
    """Return the icons and arrow heads that a drawing refers to."""
    icons = "".join(
        f'<symbol id="flow-icon-{kind}" viewBox="0 0 16 16">{shape}</symbol>'
        for kind, shape in SHAPES.items()
    )
    heads = "".join(
        f'<marker id="flow-head{end}" class="flow-head{end}" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M.6.8L7.6 4 .6 7.2z"/></marker>'
        for end in ("", "-failed")
    )
    return f"<defs>{icons}{heads}</defs>"
