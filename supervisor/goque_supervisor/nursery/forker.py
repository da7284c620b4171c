"""The nursery: a single-threaded process that has imported everything and forks the other processes.

A child is forked in two steps. The process in between ends at once, so that the root, as subreaper, becomes the
child's parent. The root alone waits for every process of the tree, and a nursery that dies takes no process along.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from os import _exit, execv, fork, waitpid  # the app may replace those of os, as debuggers do
from typing import Any

import multiprocess.popen_fork  # noqa: F401 - each fork would import it anew, and unshare what an import uses
from multiprocess import get_context

from goque.errors import GoqueError
from goque.execution.streams import flush_streams, open_standard_descriptors
from goque.storage.before_fork import close_connections
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import (
    BootFailed,
    ChildStarted,
    Ready,
    StartChild,
    StartFailed,
    Stop,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.heap_holes import fill_heap_holes
from goque_supervisor.ipc.process_signals import reset_signals
from goque_supervisor.nursery import exit_functions
from goque_supervisor.nursery.child_main import run_child
from goque_supervisor.nursery.open_sockets import ConnectedSocket, connected_sockets, warn_of_sockets
from goque_supervisor.nursery.threads import thread_names

log = logging.getLogger("goque.nursery")
Prepare = Callable[[], dict[str, Any]]


class Nursery:
    """The loop of a nursery: prepare once, then fork a child for each StartChild until told to stop."""

    def __init__(self, end: socket.socket, root: int, *, start_method: str) -> None:
        self.channel = Channel(end, blocking=True)
        self.root = root
        self.start_method = start_method

    def run(self, prepare: Prepare) -> int:
        """Prepare, tell the root, and serve it; returns the exit code."""
        open_before = connected_sockets()
        try:
            info = prepare()
            self._take_back(open_before)
        except BaseException as error:  # any error of the import becomes one line at the root
            log.debug("loading failed", exc_info=error)
            self.channel.send(_boot_failed(error))
            return 1
        # imports leave next to nothing in the oldest generation, which takes as long as ten modules
        gc.collect(1)
        log.debug("filled %d bytes of holes in the heap", fill_heap_holes())
        gc.freeze()
        self.channel.send(Ready({**info, "start_method": self.start_method}))
        return self._serve()

    def _take_back(self, open_before: set[ConnectedSocket]) -> None:
        """Set up what the app may have changed at its import, and look at what a fork would share."""
        reset_signals()
        os_process.become_subreaper(wanted=False)  # it would take the children of the root
        flush_streams()
        open_standard_descriptors()
        self._choose_start_method()
        if self.start_method == "forkserver":
            close_connections()
            warn_of_sockets(connected_sockets() - open_before)

    def _choose_start_method(self) -> None:
        names = thread_names() if self.start_method == "forkserver" else []
        if names:
            log.warning(
                "the app starts threads at import (%s), and a forked worker would lose them: "
                "goque spawns workers instead, which takes longer; start threads in handlers to avoid this",
                ", ".join(names),
            )
            self.start_method = "spawn"

    def _serve(self) -> int:
        while True:
            self._wait()
            for message in self.channel.receive():
                match message:
                    case StartChild():
                        self._start(message, self.channel.received_fds.popleft())
                    case Stop():
                        return 0
                    case _:
                        log.error("dropped an unexpected %s from the root", type(message).__name__)
            if self.channel.closed:
                return 0

    def _wait(self) -> None:
        self.channel.socket.recv(1, socket.MSG_PEEK)

    def _start(self, request: StartChild, descriptor: int) -> None:
        try:
            between = fork()
        except OSError as error:
            os.close(descriptor)
            self.channel.send(StartFailed(request.key, str(error)))
            return
        if between == 0:
            try:
                self._start_and_leave(request, descriptor)
            finally:
                _exit(0)
        os.close(descriptor)
        _pid, status = waitpid(between, 0)
        if status:  # code that the app runs after a fork has ended it
            cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
            self.channel.send(StartFailed(request.key, f"its fork ended by {cause}", died=True))

    def _start_and_leave(self, request: StartChild, descriptor: int) -> None:
        try:
            pid = self._fork(request.boot, descriptor)
        except OSError as error:
            self.channel.send(StartFailed(request.key, str(error)))
        else:
            self.channel.send(ChildStarted(request.key, pid))

    def _fork(self, boot: dict[str, Any], descriptor: int) -> int:
        if self.start_method == "spawn" and boot["role"] in exit_functions.ROLES:
            return self._spawn(boot, descriptor)
        child = get_context("fork").Process(
            target=self._become_child, args=(boot, descriptor), name=boot["name"]
        )
        self._fork_of_app, os.fork = os.fork, fork
        try:
            child.start()
        finally:
            os.fork = self._fork_of_app
        return int(child.pid)

    def _become_child(self, boot: dict[str, Any], descriptor: int) -> None:
        os.fork = self._fork_of_app
        self.channel.socket.close()
        run_child(boot, descriptor, self.root)

    def _spawn(self, boot: dict[str, Any], descriptor: int) -> int:
        os.set_inheritable(descriptor, True)
        reader, writer = os.pipe()
        os.set_inheritable(reader, True)
        payload = json.dumps(boot).encode()
        command = [
            sys.executable,
            "-P",
            "-m",
            "goque_supervisor.nursery.child_main",
            str(reader),
            str(descriptor),
            str(self.root),
        ]
        pid = fork()
        if pid == 0:
            execv(sys.executable, command)  # noqa: S606 - our own interpreter
        os.close(reader)
        os.write(writer, payload)
        os.close(writer)
        return pid


def _boot_failed(error: BaseException) -> BootFailed:
    if isinstance(error, GoqueError):
        return BootFailed(str(error), error.exit_code)
    return BootFailed(f"the app cannot be loaded: {type(error).__name__}: {error}".removesuffix(": "), 2)


def run_nursery(end: socket.socket, root: int, *, name: str, start_method: str, prepare: Prepare) -> int:
    """Run a nursery in a process that the root has just forked."""
    reset_signals()
    os.setsid()
    os_process.die_with_parent(root)
    os_process.set_name(f"goque:{name}")
    nursery = Nursery(end, root, start_method=start_method)
    try:
        return nursery.run(prepare)
    except BaseException:
        log.exception("this nursery ends because of an error")
        return 1
    finally:
        nursery.channel.close()
