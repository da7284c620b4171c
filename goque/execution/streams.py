"""The standard streams, which an app may have closed, or replaced by an object with few of their methods."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


class QuietStream:
    """Stands before a stream of the app whose `flush` raises, since Python calls that before each fork."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        """Flush the stream, if it can."""
        with contextlib.suppress(Exception):
            self._stream.flush()


def flush_streams() -> None:
    """Flush stdout and stderr, so that a later crash or fork does not lose or repeat what was printed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except (AttributeError, ValueError):
            continue  # closed, or an object without this method: nothing can be lost
        except OSError:
            continue  # a full disk, or a pipe that nobody reads
        except Exception:  # noqa: BLE001 - the app's stream may raise anything
            setattr(sys, name, QuietStream(stream))


def open_standard_descriptors() -> None:
    """Open those of the descriptors 0 to 2 that the app has closed: the next socket would get their number."""
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
