"""The orderly end of a process that has run the app's code: its `atexit` functions run, as in any Python program.

They run after the threads that are not daemons have ended, as there. They run also if the app registered them at
import, before the fork: an error reporter does so, and sends what it still has at its exit. The root kills a process
that takes longer than its `ChildSpec.shutdown` says.
"""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import threading
import weakref
from typing import Any, Final

log = logging.getLogger("goque.worker")

ROLES: Final = frozenset({"worker", "callback", "reporter"})
"""The processes that run code of the app and may end in order."""


def leave_to_the_nursery() -> None:
    """Forget, right after a fork, what must be cleaned up once, and by the nursery.

    A `TemporaryDirectory` of the app's import has a finalizer, and the first worker that ended would delete it for all.
    The same holds for processes that the import started with multiprocessing, which forgets them in its own forks too.
    """
    registry: Any = getattr(weakref.finalize, "_registry", ())
    for finalizer in list(registry):
        finalizer.atexit = False
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None:
        multiprocessing._children = set()  # noqa: SLF001 - as its own code does after a fork


def run_exit_functions() -> None:
    """Wait for threads, then run the functions that were registered with `atexit`, the last one first."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter does at its end
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit follows, as at the end of each fork of multiprocessing
    except BaseException:
        log.exception("a function registered with atexit failed")
