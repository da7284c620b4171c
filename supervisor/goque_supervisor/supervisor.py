"""The root supervisor: one thread, standard library only, no user code; so nothing can take it down.

One blocking wait gathers signals, child exits, messages and timers; each is handled in turn:

1. boot: open the run directory, start the guard and the two nurseries;
2. the app's nursery describes the app, from which the tree is laid out;
3. lease, monitor, then a group for each task type, then healer, cleaner and scheduler;
4. whatever exits is reaped here and started again by its policy;
5. SIGTERM and SIGINT stop the tree in order (stopping.py), SIGHUP replaces the app and its workers.
"""

from __future__ import annotations

import itertools
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from goque_supervisor import process
from goque_supervisor.blackbox import BlackBox
from goque_supervisor.children import Child, Children
from goque_supervisor.control import (
    Adopt,
    Beat,
    BootFailed,
    Buried,
    CallbackDone,
    CallbackWanted,
    Channel,
    ChildStarted,
    Drained,
    Idle,
    Interrupt,
    LeaseLost,
    Message,
    Metrics,
    Ready,
    Replace,
    StartChild,
    StartFailed,
    Stop,
    TreeState,
)
from goque_supervisor.group import Group
from goque_supervisor.guard import Guard
from goque_supervisor.nurseries import NurseryProcess
from goque_supervisor.rundir import RunDirectory, remove_worker_files
from goque_supervisor.settings import SuperviseOptions
from goque_supervisor.spec import Backoff, ExitCause
from goque_supervisor.stopping import Stopping
from goque_supervisor.timers import Timers
from goque_supervisor.tree import ChildSpec, Home, Tree, build_tree

log = logging.getLogger("goque.supervisor")

SCAN_PERIOD = 0.25
STATE_PERIOD = 1.0
HANG_AFTER = 15.0


class Supervisor:
    """Keeps the tree alive until told to stop; `run` returns the exit code."""

    def __init__(
        self, options: SuperviseOptions, run: RunDirectory, *, registry_fd: int | None = None
    ) -> None:
        self.options = options
        self.run_directory = run
        self.registry_fd = registry_fd
        self.pid = os.getpid()
        self.exit_code: int | None = None
        self.children = Children()
        self.groups: dict[str, Group] = {}
        self.tree: Tree | None = None
        self.stopping: Stopping | None = None
        self.owner = ""
        self.former_owners: list[str] = []
        self.database_url = ""
        self.timers = Timers()
        self.restarts: dict[str, int] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._keys = itertools.count(1)
        self._selector = selectors.DefaultSelector()
        self._guard = Guard()
        self._nurseries: dict[Home, NurseryProcess] = {}
        self._next_app: NurseryProcess | None = None
        self._idle_check = 0
        self._services_started = False

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the tree; returns the exit code of `goque supervise`."""
        inbox = self._catch_signals()
        process.become_subreaper()
        process.set_name("goque:root")
        try:
            self._guard.start()
            for home in (Home.ACTORS, Home.APP):
                self._nurseries[home] = self._start_nursery(home, generation=1)
            self.timers.every(SCAN_PERIOD, self._scan)
            self.timers.every(STATE_PERIOD, self.tell_state)
            while self.exit_code is None:
                self._turn(inbox)
        finally:
            self._end()
        return self.exit_code

    def _turn(self, inbox: int) -> None:
        for key, _events in self._selector.select(self.timers.seconds_left()):
            match key.data:
                case None:
                    for number in os.read(inbox, 512):
                        self._on_signal(signal.Signals(number))
                case NurseryProcess() as nursery:
                    self._read_nursery(nursery)
                case Child() as child:
                    self._read_child(child)
        self.timers.run_due()

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor carries it to the loop
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ)
        return reader

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                self._reap()
            case signal.SIGHUP:
                self._reload()
            case signal.SIGTERM | signal.SIGINT:
                self.stop(number.name)

    def stop(self, reason: str) -> None:
        """Stop the tree in order; asked a second time, give everything back now."""
        if self.stopping is not None:
            self.stopping.hurry(reason)
        elif self.tree is None:
            log.info("stopping: %s before the tree was up", reason)
            self.exit_code = 0
        else:
            self.stopping = Stopping(self, reason)
            self.stopping.begin()

    def give_up(self, message: str, exit_code: int) -> None:
        """End the tree because it cannot work: one line on stderr, and this exit code."""
        if self.exit_code is None:
            sys.stderr.write(f"goque: {' '.join(message.split())}\n")
            self.exit_code = exit_code

    def _scan(self) -> None:
        now = time.monotonic()
        for child in self.children:
            child.channel.flush()
            if not child.pid or child.killed_for is not None:
                continue
            if child.stop_by and now >= child.stop_by:
                self.kill(child, "stop")
            elif child.channel.closed and not (child.box and child.box.read().running):
                self.kill(child, "deaf")  # it closed its end: it hears no orders any more
            elif child.spec.role == "worker":
                self._scan_worker(child, now)
            elif child.ready_at and now - child.beat_at > HANG_AFTER:
                log.error(
                    "%s (pid %d) has not moved for %gs: killing it", child.spec.name, child.pid, HANG_AFTER
                )
                self.kill(child, "hung")

    def _scan_worker(self, child: Child, now: float) -> None:
        assert child.box is not None
        kill_at = child.box.kill_at
        if kill_at and now >= kill_at:
            self.kill(child, "timeout")
            return
        for seq, (deadline, reason) in list(child.interrupts.items()):
            if seq not in child.box.read().running:
                del child.interrupts[seq]
            elif now >= deadline:
                child.killed_seq = seq
                self.kill(child, reason)
                return

    # -- starting and ending children ----------------------------------------------------------------

    def start(
        self, spec: ChildSpec, boot: dict[str, Any], *, group: Group | None = None, slot: int = 0
    ) -> Child | None:
        """Ask a nursery for a child; None while the nursery is not up, whose coming up asks again."""
        nursery = self._nurseries[spec.home]
        if not nursery.ready:
            return None
        channel, theirs = Channel.pair()
        child = Child(
            spec,
            next(self._keys),
            channel,
            nursery.generation,
            time.monotonic(),
            task_type=group.spec.type if group else "",
            slot=slot,
            oom_before=process.oom_kills() if spec.role == "worker" else 0,
        )
        if spec.role == "worker":
            self._give_box(child, group.spec.most_jobs if group else 0)
            assert child.box is not None
            boot = {**boot, "box": str(child.box.path), "identity": child.identity}
        self.children.add(child)
        self._selector.register(channel, selectors.EVENT_READ, child)
        nursery.channel.send(
            StartChild(child.key, {**self._boot(spec), **boot, "incarnation": child.key}),
            descriptor=theirs.fileno(),
        )
        theirs.close()
        return child

    def _boot(self, spec: ChildSpec) -> dict[str, Any]:
        return {
            "name": spec.name,
            "role": spec.role,
            "database_url": self.database_url,
            "log_format": self.options.log_format,
            "log_level": self.options.log_level,
            "node_timeout": self.options.node_timeout,
            "app": self.options.app,
            "registry_fd": self.registry_fd,
            "run_directory": str(self.run_directory.path),
        }

    def _give_box(self, child: Child, jobs: int) -> None:
        path = self.run_directory.box(child.task_type, child.slot, child.key)
        BlackBox.create(path, jobs=jobs)
        child.box = BlackBox(path)
        child.identity = f"{child.slot}.{child.key}.{os.urandom(6).hex()}"

    def kill(self, child: Child, reason: str) -> None:
        """Kill a child now; its exit will tell `reason` to whom it concerns."""
        child.killed_for = reason
        if child.pid:
            process.kill_group(child.pid)
            process.kill(child.pid)

    def stop_child(self, child: Child) -> None:
        """Ask a child to end; it is killed when it takes longer than its specification allows."""
        if not child.stop_by:
            child.stop_by = time.monotonic() + child.spec.shutdown
            child.channel.send(Stop())

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            self._reap_one(found.si_pid)

    def _reap_one(self, pid: int) -> None:
        child = self.children.by_pid(pid)
        if child is None:
            for nursery in self._all_nurseries():
                self._read_nursery(nursery)  # its pid may be on the way
            child = self.children.by_pid(pid)
        if child is not None:
            process.kill_group(pid)  # before the pid is reaped, so that it cannot name another group
            self._guard.discard(pid)
        _pid, status, usage = os.wait4(pid, 0)
        cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
        if child is not None:
            self._on_child_exit(child, cause, usage.ru_maxrss * (1024 if process.IS_LINUX else 1))
        elif pid == self._guard.pid and self.exit_code is None:
            log.warning("the guard (pid %d) ended by %s: starting another", pid, cause)
            self._guard.start()
        else:
            self._on_nursery_exit(pid, cause)

    def _on_child_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        self._read_child(child)  # its last words
        self._unwatch(child)
        child.channel.close()
        self.children.remove(child)
        if child.spec.role == "callback":
            self.groups[child.task_type].callback_ended(child.key)
        elif child.task_type in self.groups:
            self.groups[child.task_type].on_exit(child, cause, max_rss)
        else:
            self._on_service_exit(child, cause)
        if child.box is not None:
            child.box.close()
        if self.stopping is not None:
            self.stopping.advance()

    def _on_service_exit(self, child: Child, cause: ExitCause) -> None:
        if child.stop_by or self.stopping is not None:
            return
        backoff = self._backoffs.setdefault(child.spec.name, Backoff())
        delay = backoff.after_exit(time.monotonic() - child.started_at)
        self.count_restart(child.spec.role)
        log.warning(
            "%s (pid %d) ended by %s: restarting %s",
            child.spec.name,
            child.pid,
            cause,
            f"in {delay:g}s" if delay else "now",
        )
        self.timers.after(delay, lambda: self._start_service(child.spec))

    def _start_service(self, spec: ChildSpec) -> None:
        if self.stopping is not None or self.children.named(spec.name):
            return
        try:
            self.start(spec, self._service_boot(spec))
        except OSError as error:
            self.start_failed(spec.name, str(error), lambda: self._start_service(spec))

    def _service_boot(self, spec: ChildSpec) -> dict[str, Any]:
        assert self.tree is not None
        return (
            {
                "owner": self.owner,
                "http": self.options.http,
                "types": [group.processor for group in self.tree.groups],
                "run_base": str(self.run_directory.path.parent),
                "database_fingerprint": self.database_fingerprint,
            }
            if spec.role != "scheduler"
            else {"owner": self.owner}
        )

    def start_failed(self, name: str, why: str, again: Callable[[], None]) -> None:
        """Report that the system let no process start, and try again in a second."""
        log.error("%s cannot be started (%s): trying again in 1s; what runs goes on", name, why)
        self.timers.after(1.0, again)

    def count_restart(self, role: str) -> None:
        """Count a restart for the monitor."""
        self.restarts[role] = self.restarts.get(role, 0) + 1

    # -- nurseries -----------------------------------------------------------------------------------

    def _all_nurseries(self) -> list[NurseryProcess]:
        return [*self._nurseries.values(), *([self._next_app] if self._next_app else [])]

    def _start_nursery(self, home: Home, *, generation: int) -> NurseryProcess:
        nursery = NurseryProcess(home, generation, self.options, self.registry_fd)
        nursery.start(self.pid)
        self._selector.register(nursery.channel, selectors.EVENT_READ, nursery)
        return nursery

    def _read_nursery(self, nursery: NurseryProcess) -> None:
        for message in nursery.channel.receive():
            match message:
                case Ready(info):
                    nursery.ready = True
                    self._on_nursery_ready(nursery, info)
                case BootFailed(text, exit_code):
                    self._on_nursery_failed(nursery, text, exit_code)
                case ChildStarted(key, pid):
                    self._on_child_started(key, pid)
                case StartFailed(key, text):
                    self._on_start_failed(key, text)
                case _:
                    log.error("unexpected %s from a nursery: dropped", type(message).__name__)
        if nursery.channel.closed and nursery.watched:
            self._selector.unregister(nursery.channel)
            nursery.watched = False

    def _on_nursery_ready(self, nursery: NurseryProcess, info: dict[str, Any]) -> None:
        if nursery is self._next_app:
            self._swap_app(info)
            return
        if nursery.home is Home.APP:
            nursery.app = info
        if self.tree is None:
            self._lay_out_when_both_are_up()
            return
        for group in self.groups.values():
            group.fill()
        self._start_missing_services()

    def _lay_out_when_both_are_up(self) -> None:
        if not all(nursery.ready for nursery in self._nurseries.values()):
            return
        app = self._nurseries[Home.APP].app
        self.database_url = app["database_url"]
        self.tree = build_tree(self.options, app)
        self._start_service(self.tree.lease)
        if self.tree.monitor:
            self._start_service(self.tree.monitor)
        for spec in self.tree.groups:
            self.groups[spec.type] = Group(self, spec)
            self.groups[spec.type].fill()

    def _on_nursery_failed(self, nursery: NurseryProcess, text: str, exit_code: int) -> None:
        if nursery is self._next_app:
            self._next_app = None
            log.error("reload failed, the old workers stay: %s", text)
        elif self.tree is None:
            self.give_up(text, exit_code)
        else:
            log.error("the %s nursery cannot start: %s", nursery.home, text)

    def _on_nursery_exit(self, pid: int, cause: ExitCause) -> None:
        for home, nursery in self._nurseries.items():
            if nursery.pid != pid or self.exit_code is not None:
                continue
            self._drop_nursery(nursery)
            if self.stopping is not None or self.tree is None:
                self.give_up(f"the {home} nursery ended by {cause} before the tree was up", 4)
                return
            delay = self._backoffs.setdefault(home, Backoff()).after_exit(
                time.monotonic() - nursery.started_at
            )
            log.warning("the %s nursery (pid %d) ended by %s: restarting it; workers go on", home, pid, cause)
            self.count_restart("nursery")
            self.timers.after(delay, lambda home=home, old=nursery: self._restart_nursery(home, old))  # type: ignore[misc]  # defaults bind the loop's values

    def _restart_nursery(self, home: Home, old: NurseryProcess) -> None:
        if self._nurseries[home] is old and self.stopping is None:
            self._nurseries[home] = self._start_nursery(home, generation=old.generation)

    def _drop_nursery(self, nursery: NurseryProcess) -> None:
        nursery.ready = False
        if nursery.watched:
            self._selector.unregister(nursery.channel)
            nursery.watched = False
        nursery.channel.close()
        for child in self.children:
            if not child.pid and child.spec.home is nursery.home:
                self._on_start_failed(child.key, "its nursery ended")

    def _on_child_started(self, key: int, pid: int) -> None:
        child = self.children.by_key(key)
        if child is None:
            return
        self.children.has_pid(child, pid)
        child.beat_at = time.monotonic()
        self._guard.add(pid)
        if child.killed_for is not None:
            self.kill(child, child.killed_for)
        if child.task_type in self.groups:
            self.groups[child.task_type].on_started(child)

    def _on_start_failed(self, key: int, text: str) -> None:
        child = self.children.by_key(key)
        if child is None:
            return
        self._unwatch(child)
        child.channel.close()
        self.children.remove(child)
        if child.box is not None:
            remove_worker_files(child.box.path)
            child.box.close()
        group = self.groups.get(child.task_type)
        if child.spec.role == "callback" and group:
            group.callback_ended(child.key)
        elif group:
            self.start_failed(child.spec.name, text, group.fill)
        else:
            self.start_failed(child.spec.name, text, lambda: self._start_service(child.spec))

    # -- what children say -----------------------------------------------------------------------------

    def _read_child(self, child: Child) -> None:
        for message in child.channel.receive():
            child.beat_at = time.monotonic()
            self._on_message(child, message)
        if child.channel.closed:
            self._unwatch(child)

    def _unwatch(self, child: Child) -> None:
        if child.watched:
            self._selector.unregister(child.channel)
            child.watched = False

    def _on_message(self, child: Child, message: Message) -> None:
        group = self.groups.get(child.task_type)
        match message:
            case Beat():
                pass
            case Ready(info):
                child.ready_at = child.ready_at or time.monotonic()
                self._on_ready(child, info, group)
            case BootFailed(text, exit_code):
                self._on_boot_failed(child, text, exit_code)
            case LeaseLost():
                self._on_lease_lost()
            case Metrics():
                self._tell_monitor(message)
            case Idle() if group:
                group.idle = message.idle
                group.idle_check = message.check
                self._check_drained()
            case Interrupt() | Replace() | Buried() | Drained() | CallbackWanted() | CallbackDone() if group:
                group.on_message(child, message)
            case _:
                log.error("unexpected %s from %s: dropped", type(message).__name__, child.spec.name)

    def _on_ready(self, child: Child, info: dict[str, Any], group: Group | None) -> None:
        if group is not None:
            group.on_ready(child)
        elif child.spec.role == "lease":
            self._on_lease(info["owner"])

    def _on_boot_failed(self, child: Child, text: str, exit_code: int) -> None:
        if self._services_started or self.stopping is not None:
            log.error("%s cannot work: %s", child.spec.name, text)
        else:
            self.give_up(text, exit_code)

    def _on_lease(self, owner: str) -> None:
        if self.owner and owner != self.owner:
            self.former_owners.append(self.owner)
        self.owner = owner
        self.run_directory.describe_tree(self._description())
        for group in self.groups.values():
            group.new_owner(owner)
        if not self._services_started:
            self._services_started = True
            for group in self.groups.values():
                group.fill()
            self._start_missing_services()
            self._check_nothing_to_run()

    def _description(self) -> dict[str, Any]:
        return {
            "owners": [*self.former_owners, self.owner],
            "pid": self.pid,
            "boot": process.boot_id(),
            "database": self.database_fingerprint,
        }

    @property
    def database_fingerprint(self) -> str:
        """What tells this database from another without telling its password."""
        return str(self._nurseries[Home.APP].app.get("database_fingerprint", ""))

    def _on_lease_lost(self) -> None:
        log.error(
            "the lease is lost: nothing is claimed until the database takes heartbeats again (%s running handlers)",
            self.options.on_lost_lease,
        )
        for group in self.groups.values():
            group.new_owner("")
            if self.options.on_lost_lease == "kill":
                group.kill_workers("lease")

    def _start_missing_services(self) -> None:
        if self.tree is None or not self._services_started:
            return
        for spec in (self.tree.lease, self.tree.monitor, *self.tree.services):
            if spec is not None:
                self._start_service(spec)

    def _check_nothing_to_run(self) -> None:
        assert self.tree is not None
        if self.options.drain and not self.tree.groups:
            self.stop("nothing to drain")

    def _check_drained(self) -> None:
        """With --drain: when every type says idle, ask each once more; when all agree in one round, stop."""
        if not self.options.drain or self.stopping is not None:
            return
        groups = list(self.groups.values())
        if not all(group.idle for group in groups):
            self._idle_check += 1
        elif all(group.idle_check == self._idle_check for group in groups):
            self.stop("drained")
        elif not any(group.idle_check == self._idle_check for group in groups):
            self._idle_check += 1
            for group in groups:
                group.ask_idle(self._idle_check)

    def boot_failed_everywhere(self) -> bool:
        """Return whether no type of the tree has ever had a worker that booted, and all have tried enough."""
        return all(group.boot.held and not group.boot.ever_booted for group in self.groups.values())

    def _tell_monitor(self, message: Message) -> None:
        monitor = self.children.named("monitor")
        if monitor is not None:
            monitor.channel.send(message)

    def tell_state(self) -> None:
        """Tell the monitor how the tree stands."""
        self._tell_monitor(
            TreeState(
                {
                    "types": {task_type: group.state() for task_type, group in self.groups.items()},
                    "child_restarts": self.restarts,
                    "lease": bool(self.owner),
                    "stopping": self.stopping is not None,
                }
            )
        )

    # -- reload -----------------------------------------------------------------------------------------

    def _reload(self) -> None:
        if self.stopping is not None or self.tree is None:
            return
        log.info("SIGHUP: importing the app anew")
        if self._next_app is not None:
            os.kill(self._next_app.pid, signal.SIGKILL)
        generation = self._nurseries[Home.APP].generation + 1
        self._next_app = self._start_nursery(Home.APP, generation=generation)

    def _swap_app(self, info: dict[str, Any]) -> None:
        assert self._next_app is not None
        old, new = self._nurseries[Home.APP], self._next_app
        self._next_app = None
        info["keys"] = {**info["keys"], **old.app["keys"]}  # the sockets of known types keep their keys
        new.app = info
        self._nurseries[Home.APP] = new
        old.channel.send(Stop())
        self.tree = build_tree(self.options, info)
        wanted = {spec.type: spec for spec in self.tree.groups}
        for task_type, group in list(self.groups.items()):
            if task_type in wanted:
                group.reload(wanted[task_type], new.generation)
            else:
                group.drain()
        for task_type, spec in wanted.items():
            if task_type not in self.groups:
                self.groups[task_type] = Group(self, spec)
                self.groups[task_type].fill()
        for name in ("scheduler", "cleaner", "healer", "monitor"):
            child = self.children.named(name)
            if child is not None:
                self.kill(child, "reload")  # they hold nothing: the next one starts with the new app
        self._start_missing_services()

    # -- the end ------------------------------------------------------------------------------------------

    def adopt_message(self, group: Group) -> Adopt:
        """Tell a fetcher what it takes over."""
        return Adopt(
            group.epoch,
            self.owner,
            self.former_owners,
            [child.as_worker() for child in self.children.workers(group.spec.type) if child.pid],
            list(group.unburied.values()),
        )

    def _end(self) -> None:
        """Leave nothing behind: whatever still lives now is killed and reaped, then the run directory goes."""
        signal.set_wakeup_fd(-1)
        deadline = time.monotonic() + 5
        self._guard.dismiss()
        while self._reap_all() and time.monotonic() < deadline:
            for pid in process.children():
                if pid != self._guard.pid:
                    process.kill_group(pid)
                    process.kill(pid)
            time.sleep(0.002)
        self.run_directory.remove()

    def _reap_all(self) -> bool:
        """Reap what has ended; returns whether children are left."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        return True
