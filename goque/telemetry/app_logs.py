"""What the application logs: its lines come out like goque's own, unless it has configured logging itself.

An app that only calls `logging.getLogger(…)` gets the level and the format of the tree. An app that puts handlers on
the root logger keeps what it configured; `LogHandler` is the handler for the tree's format there.
"""

from __future__ import annotations

import logging
from typing import Final

from goque.telemetry.logs import StderrHandler

_PLAIN: Final = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class LogHandler(logging.Handler):
    """Writes what it gets as lines of the tree's log, with type, id and attempt of the running task.

    Use it in a configuration of your own: `"handlers": {"goque": {"class": "goque.LogHandler"}}` for `dictConfig`, or
    `logging.basicConfig(handlers=[goque.LogHandler()])`. Outside of a tree it writes plain lines to standard error.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        for handler in logging.getLogger("goque").handlers:
            if isinstance(handler, StderrHandler):
                handler.emit(record)
                return
        # looked up for each event, because the program may replace sys.stderr
        plain = logging.StreamHandler()
        plain.setFormatter(self.formatter or _PLAIN)
        plain.emit(record)


def let_through() -> None:
    """Let what the app logs through at the level of goque's log. Call it after the app's import.

    The last resort of `logging` prints these lines: see `logs.configure`. So nothing changes for an app that has
    handlers of its own on the root logger, whether from its import or from a handler that runs later. The root logger's
    level stays if the app has set one.
    """
    ours, root = logging.getLogger("goque"), logging.getLogger()
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(ours.level)
    # dictConfig and fileConfig disable each logger that exists and is not in the app's configuration
    for name, logger in root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == "goque" or name.startswith("goque.")):
            logger.disabled = False
