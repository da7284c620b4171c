"""The two nurseries of a tree, one for goque's own processes and one for the app, and the app's replacement."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any

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


class Nurseries:
    """Keeps both nurseries alive; a nursery that dies takes no child along, since all are the root's.

    Args:
        options: handed to the nurseries.
        root: the pid of the root.
        selector: the root's; channels of nurseries are registered in it with their NurseryProcess.
        timers: the root's.
        registry_fd: where the registry was handed over, if it was.
        on_ready: called when a nursery is up.
        on_failed: called with the sentence and exit code of a nursery that cannot come up at the first start.
        on_child_started, on_child_failed: what a nursery says of a child, by its key; of one that failed also why,
            and whether it died rather than never was.
        on_reloaded: called with the new app when its nursery has taken the old one's place.
        on_ended: called when a nursery has ended that was not replaced: it starts none of those it was asked for.
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
        on_reloaded: Callable[[dict[str, Any]], None],
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
        self._by_home: dict[NurseryKind, NurseryProcess] = {}
        self._next: NurseryProcess | None = None
        self._backoffs = {home: Backoff() for home in NurseryKind}
        self.were_ready = False

    def __iter__(self) -> Iterator[NurseryProcess]:
        yield from list(self._by_home.values())
        if self._next is not None:
            yield self._next

    def __getitem__(self, home: NurseryKind) -> NurseryProcess:
        return self._by_home[home]

    @property
    def are_ready(self) -> bool:
        """Whether both nurseries can fork children."""
        return all(nursery.ready for nursery in self._by_home.values())

    @property
    def app(self) -> dict[str, Any]:
        """What the newest import of the app said of itself."""
        return self._by_home[NurseryKind.APP].app

    def open(self) -> None:
        """Start both nurseries."""
        for home in (NurseryKind.ACTORS, NurseryKind.APP):
            self._by_home[home] = self._start(home, generation=1)

    def read(self, nursery: NurseryProcess) -> None:
        """Take in what a nursery has sent."""
        for message in nursery.channel.receive():
            match message:
                case Ready(info):
                    self._ready(nursery, info)
                case BootFailed(text, exit_code):
                    self._failed(nursery, text, exit_code)
                case ChildStarted(key, pid):
                    self._on_child_started(key, pid)
                case ProtocolError(why):
                    log.error("the %s nursery (pid %d) is killed: %s", nursery.home, nursery.pid, why)
                    os_process.kill(nursery.pid)
                case StartFailed(key, text, died):
                    self._on_child_failed(key, text, died)
                case _:
                    log.error("unexpected %s from a nursery: dropped", type(message).__name__)
        if nursery.channel.closed:
            self._unwatch(nursery)
            if nursery not in self:
                nursery.channel.close()  # it was replaced, and has ended

    def read_all(self) -> None:
        """Take in what all nurseries have sent."""
        for nursery in self:
            self.read(nursery)

    def close(self) -> None:
        """Close the channels, once all processes are gone."""
        for nursery in self:
            self._unwatch(nursery)
            nursery.channel.close()

    def reload(self) -> None:
        """Import the app anew, beside the nursery that works."""
        if self._next is not None:
            os_process.kill(self._next.pid)
        self._next = self._start(NurseryKind.APP, generation=self._by_home[NurseryKind.APP].generation + 1)

    def replace_stuck(self, home: NurseryKind) -> None:
        """Kill a nursery that forks nothing any more; its exit starts another."""
        nursery = self._by_home[home]
        if nursery.ready:
            nursery.ready = False
            log.error("the %s nursery (pid %d) does not answer: killing it", home, nursery.pid)
            os_process.kill_group(nursery.pid)  # with the fork that it waits for, if that is what hangs

    def on_exit(self, pid: int, cause: ExitCause, *, final: bool) -> None:
        """Start a nursery that has died anew, unless the tree is ending."""
        for home, nursery in list(self._by_home.items()):
            if nursery.pid == pid:
                self._bury(nursery)
                if not final:
                    self._restart(home, nursery, cause)
                self._on_ended(nursery)
        if self._next is not None and self._next.pid == pid:
            self._give_up_reload(self._next, cause)

    def _start(self, home: NurseryKind, *, generation: int) -> NurseryProcess:
        nursery = NurseryProcess(home, generation, self._options, self._registry_fd)
        nursery.start(self._root)
        self._selector.register(nursery.channel, selectors.EVENT_READ, nursery)
        if home is NurseryKind.APP:
            self._timers.after(SLOW_IMPORT, lambda: self._tell_slow_import(nursery))
        return nursery

    def _tell_slow_import(self, nursery: NurseryProcess) -> None:
        if nursery in self and not nursery.ready and not nursery.channel.closed:
            log.warning("%s", import_is_slow(self._options.app, nursery.pid))

    def _ready(self, nursery: NurseryProcess, info: dict[str, Any]) -> None:
        nursery.ready = True
        if "keys" in info:  # the sockets of known types keep their keys, however often the app is imported
            info["keys"] |= self._by_home[nursery.home].app.get("keys", {})
        nursery.app = info
        if nursery is self._next:
            self._swap(nursery)
        elif self.are_ready:
            self.were_ready = True
            self._on_ready()

    def _swap(self, new: NurseryProcess) -> None:
        old = self._by_home[NurseryKind.APP]
        self._next = None
        self._by_home[NurseryKind.APP] = new
        old.channel.send(Stop())
        self._on_reloaded(new.app)

    def _failed(self, nursery: NurseryProcess, text: str, exit_code: int) -> None:
        if nursery is self._next:
            self._next = None
            log.error("reload failed, the old workers stay: %s", text)
        elif not self.were_ready:
            self._on_failed(text, exit_code)
        else:
            log.error("the %s nursery cannot start: %s", nursery.home, text)

    def _bury(self, nursery: NurseryProcess) -> None:
        self.read(nursery)  # its last words may say why
        nursery.ready = False
        self._unwatch(nursery)
        nursery.channel.close()

    def _restart(self, home: NurseryKind, nursery: NurseryProcess, cause: ExitCause) -> None:
        if not self.were_ready:
            self._on_failed(import_ended(self._options.app if home is NurseryKind.APP else "goque", cause), 2)
            return
        log.warning(
            "the %s nursery (pid %d) ended by %s: restarting it; workers go on", home, nursery.pid, cause
        )
        delay = self._backoffs[home].after_exit(time.monotonic() - nursery.started_at)
        self._timers.after(delay, lambda: self._start_again(home, nursery))

    def _give_up_reload(self, nursery: NurseryProcess, cause: ExitCause) -> None:
        self._bury(nursery)
        if nursery is self._next:
            self._next = None
            log.error(
                "reload failed, the old workers stay: the process that imports the app ended by %s", cause
            )

    def _start_again(self, home: NurseryKind, old: NurseryProcess) -> None:
        if self._by_home[home] is not old:
            return
        try:
            new = self._start(home, generation=old.generation)
        except OSError as error:
            log.error("the %s nursery cannot be forked (%s): trying again in 1s", home, error)  # noqa: TRY400 - the sentence tells all
            self._timers.after(1.0, lambda: self._start_again(home, old))
            return
        new.app = old.app
        self._by_home[home] = new

    def _unwatch(self, nursery: NurseryProcess) -> None:
        if nursery.watched:
            self._selector.unregister(nursery.channel)
            nursery.watched = False
