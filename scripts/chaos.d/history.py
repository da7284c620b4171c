"""What is known of the tasks that a verdict complains of, in the order in which it happened.

The directory with the diary and the logs is often gone when somebody reads a report, so the report itself has to say
what is needed to explain a complaint.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from operator import itemgetter
from typing import Final

TASK: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_TASKS: Final = 3
"""How many tasks a report tells of."""
LINES: Final = 40
"""The last lines of each task that a report tells."""


def histories(
    complaints: Iterable[str], diary: Iterable[list[str]], logs: Iterable[tuple[float, str]]
) -> list[str]:
    """Return the lines of the diary and of the logs that name the first tasks of the complaints.

    Args:
        complaints: what the verdict says; it names tasks by their ids.
        diary: the words of each line in the handlers' diary.
        logs: the time and the raw text of each line in the logs of all trees.
    """
    tasks = list(dict.fromkeys(task for said in complaints for task in TASK.findall(said)))[:MAX_TASKS]
    entries = {task: list[tuple[float, str]]() for task in tasks}
    last = 0.0
    for words in diary:
        last = next((float(word) for word in words if re.fullmatch(r"\d{10}\.\d+", word)), last)
        for task in entries.keys() & set(words):
            entries[task].append((last, " ".join(words)))
    for when, line in logs:
        for task in entries.keys() & set(TASK.findall(line)):
            entries[task].append((when, line))
    return [text for task in tasks for text in (f"task {task}:", *_told(entries[task]))]


def _told(entries: list[tuple[float, str]]) -> list[str]:
    return [
        f"  {time.strftime('%H:%M:%S', time.localtime(when))}.{int(when % 1 * 1000):03} {text}"
        for when, text in sorted(entries, key=itemgetter(0))[-LINES:]
    ]
