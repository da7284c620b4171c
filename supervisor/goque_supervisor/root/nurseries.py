"""The two nurseries of a tree, one for goque's own processes and one for the app, and the app's replacement."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import BootFailed, ChildStarted, ProtocolError, Ready, StartFailed, Stop
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.nursery.import_report import SLOW_IMPORT, import_ended, import_is_slow
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.restart_policy import Backoff
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import NurseryKind
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")


FIRST_TRIES: Final = 3
"""Times that the actors nursery may end before the tree gives up its start. An app gets one: its import decides."""


class Nurseries:
    """Keeps both nurseries alive. A nursery that dies takes no child along: all are children of the root.

    Args:
        options: handed to the nurseries.
        root: the pid of the root.
        selector: the root's; channels of nurseries are registered in it with their NurseryProcess.
        timers: the root's.
        registry_fd: where the registry was handed over, if it was.
        on_ready: called when a nursery is up.
        on_failed: called with the sentence and exit code of a nursery that cannot come up at the first start.
        on_child_started: called with the key and the pid of a child that was forked.
        on_child_failed: called with the key of a child that was not, why, and whether it died after the fork.
        on_reloaded: called with the new app and its generation when its nursery has taken the old one's place.
        on_ended: called when a nursery has ended that was not replaced: it forks none of the requested children.
    """

    def __init__(
        self,
        options: SuperviseOptions,
        root: int,
        selector: selectors.BaseSelector,
        timers: Timers,
        registry_fd: int | None,
        *,
        on_ready: Callable[[], None],
        on_failed: Callable[[str, int], None],
        on_child_started: Callable[[int, int], None],
        on_child_failed: Callable[[int, str, bool], None],
        on_reloaded: Callable[[dict[str, Any], int], None],
        on_ended: Callable[[NurseryProcess], None],
    ) -> None:
        self._options = options
        self._root = root
        self._selector = selector
        self._timers = timers
        self._registry_fd = registry_fd
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._on_child_started = on_child_started
        self._on_child_failed = on_child_failed
        self._on_reloaded = on_reloaded
        self._on_ended = on_ended
        self._by_kind: dict[NurseryKind, NurseryProcess] = {}
        self._next: NurseryProcess | None = None
        self._backoffs = {kind: Backoff() for kind in NurseryKind}
        self.were_ready = False

    def __iter__(self) -> Iterator[NurseryProcess]:
        yield from list(self._by_kind.values())
        if self._next is not None:
            yield self._next

    def find_ready(self, kind: NurseryKind) -> NurseryProcess | None:
        """Return the nursery of this kind, None while it cannot fork children."""
        nursery = self._by_kind[kind]
        return nursery if nursery.ready else None

    @property
    def are_ready(self) -> bool:
        """Whether both nurseries can fork children."""
        return all(nursery.ready for nursery in self._by_kind.values())

    @property
    def app(self) -> dict[str, Any]:
        """How the newest import describes the app."""
        return self._by_kind[NurseryKind.APP].app

    def open(self) -> None:
        """Start both nurseries."""
        for kind in (NurseryKind.ACTORS, NurseryKind.APP):
            self._by_kind[kind] = self._start(kind, generation=1)

    def read(self, nursery: NurseryProcess) -> None:
        """Handle what a nursery has sent."""
        for message in nursery.channel.receive():
            match message:
                case Ready(info):
                    self._ready(nursery, info)
                case BootFailed(text, exit_code):
                    self._failed(nursery, text, exit_code)
                case ChildStarted(key, pid):
                    self._on_child_started(key, pid)
                case ProtocolError(why):
                    log.error("the %s nursery (pid %d) is killed: %s", nursery.kind, nursery.pid, why)
                    os_process.kill(nursery.pid)
                case StartFailed(key, text, died):
                    self._on_child_failed(key, text, died)
                case _:
                    log.error("dropped an unexpected %s from a nursery", type(message).__name__)
        if nursery.channel.closed:
            self._unwatch(nursery)
            if nursery not in self:
                nursery.channel.close()  # it was replaced, and has ended

    def read_all(self) -> None:
        """Handle what all nurseries have sent."""
        for nursery in self:
            self.read(nursery)

    def close(self) -> None:
        """Close the channels, once all processes are gone."""
        for nursery in self:
            self._unwatch(nursery)
            nursery.channel.close()

    def reload(self) -> None:
        """Import the app anew in another nursery; the one that works goes on until the new one is ready."""
        if self._next is not None:
            os_process.kill(self._next.pid)
        self._next = self._start(NurseryKind.APP, generation=self._by_kind[NurseryKind.APP].generation + 1)

    def replace_stuck(self, kind: NurseryKind) -> None:
        """Kill a nursery that does not fork any more; its exit starts another."""
        nursery = self._by_kind[kind]
        if nursery.ready:
            nursery.ready = False
            log.error("the %s nursery (pid %d) does not answer: killing it", kind, nursery.pid)
            os_process.kill_group(nursery.pid)  # with the fork that it waits for, if that is what hangs

    def on_exit(self, pid: int, cause: ExitCause, *, final: bool) -> None:
        """Start another nursery in the place of one that has died, unless the tree is ending."""
        for kind, nursery in list(self._by_kind.items()):
            if nursery.pid == pid:
                self._drop(nursery)
                if not final:
                    self._restart(kind, nursery, cause)
                self._on_ended(nursery)
        if self._next is not None and self._next.pid == pid:
            self._give_up_reload(self._next, cause)

    def _start(self, kind: NurseryKind, *, generation: int) -> NurseryProcess:
        nursery = NurseryProcess(kind, generation, self._options, self._registry_fd)
        nursery.start(self._root)
        self._selector.register(nursery.channel, selectors.EVENT_READ, nursery)
        if kind is NurseryKind.APP:
            self._timers.after(SLOW_IMPORT, lambda: self._report_slow_import(nursery))
        return nursery

    def _report_slow_import(self, nursery: NurseryProcess) -> None:
        if nursery in self and not nursery.ready and not nursery.channel.closed:
            log.warning("%s", import_is_slow(self._options.app, nursery.pid))

    def _ready(self, nursery: NurseryProcess, info: dict[str, Any]) -> None:
        nursery.ready = True
        if "keys" in info:  # the sockets of known types keep their keys, however often the app is imported
            info["keys"] |= self._by_kind[nursery.kind].app.get("keys", {})
        nursery.app = info
        if nursery is self._next:
            self._swap(nursery)
        elif self.are_ready:
            self.were_ready = True
            self._on_ready()

    def _swap(self, new: NurseryProcess) -> None:
        old = self._by_kind[NurseryKind.APP]
        self._next = None
        self._by_kind[NurseryKind.APP] = new
        old.channel.send(Stop())
        self._on_reloaded(new.app, new.generation)

    def _failed(self, nursery: NurseryProcess, text: str, exit_code: int) -> None:
        if nursery is self._next:
            self._next = None
            log.error("the reload failed, and the old workers continue: %s", text)
        elif not self.were_ready:
            self._on_failed(text, exit_code)
        else:
            log.error("the %s nursery cannot start: %s", nursery.kind, text)

    def _drop(self, nursery: NurseryProcess) -> None:
        self.read(nursery)  # its last messages may tell why
        nursery.ready = False
        self._unwatch(nursery)
        nursery.channel.close()

    def _restart(self, kind: NurseryKind, nursery: NurseryProcess, cause: ExitCause) -> None:
        if not self.were_ready and kind is NurseryKind.APP:
            self._on_failed(import_ended(self._options.app, cause), 2)
            return
        if not self.were_ready and self._backoffs[kind].failures + 1 >= FIRST_TRIES:
            self._on_failed(
                f"the actors nursery ended by {cause}, {FIRST_TRIES} times before it was ready", 4
            )
            return
        log.warning(
            "the %s nursery (pid %d) ended by %s: restarting it; workers go on", kind, nursery.pid, cause
        )
        delay = self._backoffs[kind].after_exit(time.monotonic() - nursery.started_at)
        self._timers.after(delay, lambda: self._start_again(kind, nursery))

    def _give_up_reload(self, nursery: NurseryProcess, cause: ExitCause) -> None:
        self._drop(nursery)
        if nursery is self._next:
            self._next = None
            log.error(
                "the reload failed, and the old workers continue: the process that imports the app ended by %s",
                cause,
            )

    def _start_again(self, kind: NurseryKind, old: NurseryProcess) -> None:
        if self._by_kind[kind] is not old:
            return
        try:
            new = self._start(kind, generation=old.generation)
        except OSError as error:
            log.error("the %s nursery cannot be forked (%s): trying again in 1s", kind, error)  # noqa: TRY400 - the sentence tells all
            self._timers.after(1.0, lambda: self._start_again(kind, old))
            return
        new.app = old.app
        self._by_kind[kind] = new

    def _unwatch(self, nursery: NurseryProcess) -> None:
        if nursery.watched:
            self._selector.unregister(nursery.channel)
            nursery.watched = False
