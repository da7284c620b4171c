"""The root supervisor: one thread, standard library only, no user code; so nothing can take it down.

One blocking wait gathers signals, child exits, messages and timers; each is handled in turn:

1. boot: start the guard and the two nurseries (homes.py); the app's describes the app;
2. lay out the tree from that (tree.py): lease and monitor first, a group for each task type (group.py), then
   healer, cleaner and scheduler once the node has its lease;
3. whatever exits is reaped (family.py) and started again by its policy (spec.py);
4. SIGTERM and SIGINT stop the tree in order (stopping.py), SIGHUP replaces the app and its workers one by one,
   SIGUSR1 logs how the tree stands (portrait.py), SIGUSR2 makes it claim nothing, and claim again.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import (
    Beat,
    BootFailed,
    CallbackDone,
    CallbackWanted,
    CrashSettled,
    Drained,
    Idle,
    Interrupt,
    LeaseRenewed,
    Message,
    ProtocolError,
    Ready,
    Replace,
    SourceChanged,
    TakeOver,
    TreeState,
)
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.banner import is_watched, welcome
from goque_supervisor.root.child import Child
from goque_supervisor.root.lease_clock import LeaseClock
from goque_supervisor.root.nurseries import Nurseries
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.pool_group import PoolGroup
from goque_supervisor.root.process_table import HANG_AFTER, ProcessTable
from goque_supervisor.root.restart_policy import Backoff
from goque_supervisor.root.roster import roster
from goque_supervisor.root.shutdown import Shutdown
from goque_supervisor.root.status import portrait
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import ChildSpec, NurseryKind, Tree, build_tree
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

SCAN_PERIOD = 0.25
STATE_PERIOD = 1.0
REFUSED_PAUSE = 0.1
DATABASE_UNAVAILABLE = 3
UNREGISTERED = "unregistered"
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""What makes prometheus-client keep the values of a process in files of this directory, which the monitor reads."""
SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Root:
    """Keeps the tree alive until told to stop; `run` returns the exit code."""

    def __init__(
        self, options: SuperviseOptions, run: RunDirectory, *, registry_fd: int | None = None
    ) -> None:
        self.options = options
        self.started_at = time.monotonic()
        self.run_directory = run
        self.registry_fd = registry_fd
        self.exit_code: int | None = None
        self.leave_black_boxes = False
        self.boot_error = "the cause is in the lines above"
        self.tree: Tree | None = None
        self.groups: dict[str, PoolGroup] = {}
        self.stopping: Shutdown | None = None
        self.is_quiet = False
        self.tenure = LeaseClock(options.node_timeout)
        self.timers = Timers()
        self.restarts: Counter[str] = Counter()
        self._backoffs: dict[str, Backoff] = {}
        self._idle_check = 0
        self._has_recovered = "healer" not in options.roles
        self._is_up = False
        self._were_ready: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self.family = ProcessTable(
            run,
            self._selector,
            on_exit=self._on_child_exit,
            on_stranger=self._on_stranger_exit,
            last_words=self._hear_last_words,
        )
        self.homes = Nurseries(
            options,
            os.getpid(),
            self._selector,
            self.timers,
            registry_fd,
            on_ready=self._on_homes_ready,
            on_failed=self.give_up,
            on_child_started=self._on_child_started,
            on_child_failed=self._on_child_failed,
            on_reloaded=self._on_reloaded,
            on_ended=self._on_home_ended,
        )

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the tree; returns the exit code of `goque supervise`."""
        inbox = self._catch_signals()
        os_process.become_subreaper()
        os_process.set_name("goque:root")
        gc.freeze()  # what is loaded by now stays: looking through it again would unshare its pages with the children
        try:
            if self.options.http:
                self.run_directory.metrics.mkdir(mode=0o700)
                os.environ[METRICS_DIRECTORY] = str(self.run_directory.metrics)
            self.family.guard.start()
            self.homes.open()
            self.timers.every(SCAN_PERIOD, self._scan)
            self.timers.every(STATE_PERIOD, self._tell_state)
            while self.exit_code is None:
                self._turn_unless_refused(inbox)
        finally:
            signal.set_wakeup_fd(-1)
            self.family.sweep()
            self.homes.close()
            self._selector.close()
            if self.leave_black_boxes:
                self.run_directory.leave_black_boxes()
            else:
                self.run_directory.remove()
        return self.exit_code

    def _turn_unless_refused(self, inbox: int) -> None:
        try:
            self._turn(inbox)
        except (
            OSError
        ):  # no descriptor, no memory, no disk: the tree must not go down with what could not be done
            log.exception("the system refused something: going on")
            time.sleep(REFUSED_PAUSE)

    def _turn(self, inbox: int) -> None:
        for key, _events in self._selector.select(self.timers.seconds_left()):
            match key.data:
                case None:
                    for number in sorted(os.read(inbox, 512), key=signal.SIGCHLD.__eq__):  # orders come first
                        self._on_signal(signal.Signals(number))
                case NurseryProcess() as nursery:
                    self.homes.read(nursery)
                case Child() as child:
                    self._read_child(child)
        self.timers.run_due()

    def _scan(self) -> None:
        now = time.monotonic()
        self._consider_lease(now)
        self.family.reap()  # as well as at each SIGCHLD: one reaping may have been broken off
        self.family.scan(now)
        for child in self.family.children:
            if not child.pid and now - child.started_at > HANG_AFTER:
                self.homes.replace_stuck(child.spec.home)

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # the wake-up descriptor carries it to the loop
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, SIGNALS
        )  # what came while the interpreter started waits for this
        self._selector.register(reader, selectors.EVENT_READ)
        return reader

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                self.family.reap()
            case signal.SIGHUP:
                self._reload("SIGHUP")
            case signal.SIGTERM | signal.SIGINT:
                self.stop(number.name)
            case signal.SIGUSR1:
                line, block = portrait(self, time.monotonic())
                log.info("%s", line, extra={"block": block})
            case signal.SIGUSR2:
                self._quiet_or_wake()

    def stop(self, reason: str, exit_code: int = 0) -> None:
        """Stop the tree in order; asked a second time, give everything back now."""
        if self.stopping is not None:
            self.stopping.hurry(reason)
        elif self.tree is None:
            log.info("stopping: %s before the tree was up", reason)
            self.exit_code = 0
        else:
            self.stopping = Shutdown(self, reason, exit_code)
            self.stopping.begin()

    def _quiet_or_wake(self) -> None:
        """Stop claiming, or go on; what was claimed and has not begun goes back, what runs is not disturbed."""
        if self.options.drain or self.stopping is not None:
            log.warning("SIGUSR2: a tree that drains or stops is not made quiet")
            return
        self.is_quiet = not self.is_quiet
        what = (
            "quiet: nothing is claimed until the next" if self.is_quiet else "awake: claiming goes on after"
        )
        log.info("%s SIGUSR2", what)
        for group in self.groups.values():
            group.tell_hold()

    def give_up(self, message: str, exit_code: int) -> None:
        """End the tree because it cannot work: one line on stderr, and this exit code."""
        if self.exit_code is None:
            _say(message)
            self.exit_code = exit_code

    def stop_for_want_of_workers(self) -> None:
        """Stop the tree, which has nothing to lose, because no worker of any type can boot."""
        if self.stopping is None:
            _say(f"no worker of any type can boot: {self.boot_error}")
            self.stop("no worker can boot", 4)

    # -- starting ------------------------------------------------------------------------------------

    def start(
        self, spec: ChildSpec, boot: dict[str, Any], *, group: PoolGroup | None = None, slot: int = 0
    ) -> Child | None:
        """Start a child; None while its nursery is not up, whose coming up asks again."""
        nursery = self.homes[spec.home]
        if not nursery.ready:
            return None
        return self.family.start(spec, {**self._boot(spec), **boot}, nursery, group, slot)

    def _boot(self, spec: ChildSpec) -> dict[str, Any]:
        return {
            "name": spec.name,
            "role": spec.role,
            "app": self.options.app,
            "registry_fd": self.registry_fd,
            "database_url": self.homes.app["database_url"],
            "log_format": self.options.log_format,
            "log_level": self.options.log_level,
            "node_is_up": self._is_up,
        }

    def _on_homes_ready(self) -> None:
        if self.tree is None:
            self.tree = build_tree(self.options, self.homes.app)
            self._start_service(self.tree.lease)
            if self.tree.monitor:
                self._start_service(self.tree.monitor)
            for spec in self.tree.groups:
                self.groups[spec.type] = PoolGroup(self, spec)
        self._fill()

    def _fill(self) -> None:
        """Start whatever is missing."""
        for group in self.groups.values():
            group.fill()
        if self._is_up and self.tree is not None:
            for spec in (self.tree.lease, self.tree.monitor, *self.tree.services):
                if spec is not None:
                    self._start_service(spec)

    def _start_service(self, spec: ChildSpec) -> None:
        if self.stopping is not None or self.family.children.named(spec.name):
            return
        try:
            self.start(spec, self._service_boot(spec))
        except OSError as error:
            self.start_failed(spec.name, str(error), lambda: self._start_service(spec))

    def _service_boot(self, spec: ChildSpec) -> dict[str, Any]:
        boot: dict[str, Any] = {"owner": self.tenure.owner, "node_timeout": self.options.node_timeout}
        if spec.role in ("lease", "monitor"):
            boot["run_directory"] = str(self.run_directory.path)
        if spec.role == "monitor":
            boot["http"] = self.options.http
            boot["service_name"] = self.homes.app["service_name"]
            boot["metrics"] = os.environ.get(METRICS_DIRECTORY) if self.options.http else None
        if spec.role == "reloader":
            boot["places"] = [os.getcwd(), *self.homes.app["sources"]]  # noqa: PTH109 - no need of pathlib here
            boot["import_began"] = self.homes.app["import_began"]
        if spec.role in ("healer", "cleaner") and self.tree is not None:
            boot["types"] = self.homes.app["types"]
            boot["counters"] = {
                name: str(self.run_directory.counters(spec.role, name))
                for name in (*(described["type"] for described in self.homes.app["types"]), UNREGISTERED)
            }
            boot["run_base"] = str(self.run_directory.path.parent)
            boot["database_fingerprint"] = self.homes.app["database_fingerprint"]
        return boot

    def start_failed(self, name: str, why: str, again: Callable[[], None]) -> None:
        """Report that the system let no process start, and try again in a second."""
        log.error("%s cannot be started (%s): trying again in 1s; what runs goes on", name, why)
        self.timers.after(1.0, again)

    def _on_child_started(self, key: int, pid: int) -> None:
        child = self.family.started(key, pid)
        if child is not None and child.task_type in self.groups:
            self.groups[child.task_type].on_started(child)

    def _on_child_failed(self, key: int, why: str, died: bool) -> None:  # noqa: FBT001 - as the message has it
        child = self.family.not_started(key)
        if child is None:
            return
        group = self.groups.get(child.task_type)
        if group is None:
            if self.stopping is None:
                self.start_failed(child.spec.name, why, lambda: self._start_service(child.spec))
        elif child.spec.role == "callback":
            group.callback_ended(child.key)
        elif died and child.spec.role == "worker":
            self.boot_error = why
            group.on_stillborn(child, why)
        else:
            group.on_unstarted(child, why)
        if self.stopping is not None:
            self.stopping.advance()

    def _on_home_ended(self, nursery: NurseryProcess) -> None:
        if self.exit_code is not None:
            return
        self.restarts["nursery"] += 1
        for child in self.family.children:
            if not child.pid and child.spec.home is nursery.home:
                self._on_child_failed(child.key, "its nursery ended", False)

    # -- exits ---------------------------------------------------------------------------------------

    def _hear_last_words(self, child: Child | None) -> None:
        if child is None:
            self.homes.read_all()
        else:
            self._read_child(child)

    def _on_child_exit(self, child: Child, cause: ExitCause, max_rss: int) -> None:
        if self.exit_code is not None:
            return  # the tree is ending: nothing is started or said any more
        group = self.groups.get(child.task_type)
        if child.spec.role == "callback":
            if group is not None:
                group.callback_ended(child.key)
        elif group is not None:
            group.on_exit(child, cause, max_rss)
        elif not child.task_type:
            self._on_service_exit(child, cause)
        if self.stopping is not None:
            self.stopping.advance()

    def _on_service_exit(self, child: Child, cause: ExitCause) -> None:
        if child.stop_by or self.stopping is not None:
            return
        if child.killed_for == "reload":
            self._start_service(child.spec)
            return
        backoff = self._backoffs.setdefault(child.spec.name, Backoff())
        delay = backoff.after_exit(time.monotonic() - child.started_at)
        self.restarts[child.spec.role] += 1
        when = f"in {delay:g}s" if delay else "now"
        log.warning("%s (pid %d) ended by %s: restarting %s", child.spec.name, child.pid, cause, when)
        self.timers.after(delay, lambda: self._start_service(child.spec))

    def _on_stranger_exit(self, pid: int, cause: ExitCause) -> None:
        final = self.stopping is not None or self.exit_code is not None
        if pid == self.family.guard.pid and not final:
            log.warning("the guard (pid %d) ended by %s: starting another", pid, cause)
            self.restarts["guard"] += 1
            self.family.guard.start()
        else:
            self.homes.on_exit(pid, cause, final=final)

    # -- what children say -----------------------------------------------------------------------------

    def _read_child(self, child: Child) -> None:
        for message in child.channel.receive():
            child.beat_at = time.monotonic()
            if isinstance(message, ProtocolError):
                self._on_garbled(child, message.why)
            else:
                self._on_message(child, message)
        if child.channel.closed:
            self.family.unwatch(child)

    def _on_message(self, child: Child, message: Message) -> None:
        group = self.groups.get(child.task_type)
        match message:
            case Beat():
                pass
            case Ready(info):
                self._on_ready(child, info, group)
            case BootFailed(text, exit_code):
                self._on_boot_failed(child, text, exit_code)
            case LeaseRenewed(sent_at):
                self._on_leased(sent_at)
            case SourceChanged(paths, count):
                more = f" and {count - len(paths)} more" if count > len(paths) else ""
                self._reload(f"{', '.join(paths)}{more} changed")
            case Idle() if group is not None:
                group.idle, group.idle_check = message.idle, message.check
                self._consider_drained()
            case Interrupt() | Replace() | CrashSettled() | Drained() | CallbackWanted() | CallbackDone() if (
                group is not None
            ):
                group.on_message(child, message)
            case _:
                log.error("unexpected %s from %s: dropped", type(message).__name__, child.spec.name)

    def _on_ready(self, child: Child, info: dict[str, Any], group: PoolGroup | None) -> None:
        child.ready_at = child.ready_at or time.monotonic()
        self._were_ready.add(child.spec.name)
        if group is not None:
            group.on_ready(child)
        elif child.spec.role == "lease":
            self._on_lease(info)
        elif info.get("recovered"):
            self._has_recovered = True  # what a dead tree left may be in the table again
            self._idle_check += 1
            for waiting in self.groups.values():
                waiting.ask_idle(self._idle_check)

    def _on_boot_failed(self, child: Child, text: str, exit_code: int) -> None:
        if child.spec.role == "worker":
            log.error("%s cannot boot: %s", child.spec.name, text)  # its exit decides what follows
            self.boot_error = text
        elif child.spec.name in self._were_ready or self.stopping is not None or self._may_pass(exit_code):
            log.error("%s cannot work: %s", child.spec.name, text)
        elif self.tenure.owner:  # in order, so that others see this node leave
            _say(text)
            self.stop(f"{child.spec.name} cannot work", exit_code)
        else:
            self.give_up(text, exit_code)

    def _may_pass(self, exit_code: int) -> bool:
        """Return whether this is the database that went away after the lease was written, and not the set-up."""
        return self._is_up and exit_code == DATABASE_UNAVAILABLE

    def _on_garbled(self, child: Child, why: str) -> None:
        log.error("%s (pid %d) is killed: %s", child.spec.name, child.pid, why)
        if child.pid:
            os_process.kill(child.pid)  # not by us, as it were: what it ran is charged
        else:
            self.family.kill(child, "garbled")

    def _on_lease(self, info: dict[str, Any]) -> None:
        if info["owner"] == self.tenure.owner:
            return  # another lease goes on under the same name: its first beat tells how things stand
        if self.tenure.begin(info["owner"], info["sent_at"]) and self.options.on_lost_lease == "kill":
            self._kill_all_workers()  # others run by now what these have
        self.run_directory.describe_tree(
            {
                "owners": self.tenure.all_owners,
                "pid": os.getpid(),
                "boot": os_process.boot_id(),
                "database": self.homes.app["database_fingerprint"],
            }
        )
        self._tell_owner()
        if not self._is_up:
            self._is_up = True
            self._fill()
            self._log_summary()
            if self.options.drain and not self.groups:
                self.stop("nothing to drain")

    def _on_leased(self, sent_at: float) -> None:
        if self.tenure.beaten(sent_at):
            log.info("the lease is held again: claiming goes on")
            self._tell_owner()

    def _consider_lease(self, now: float) -> None:
        if not self.tenure.lose(now):
            return
        kills = self.options.on_lost_lease == "kill"
        log.error(
            "the lease is lost: nothing is claimed until the database takes heartbeats again; running handlers %s",
            "are killed" if kills else "finish",
        )
        self._tell_owner()
        if kills:
            self._kill_all_workers()

    def _tell_owner(self) -> None:
        for group in self.groups.values():
            group.new_owner(self.tenure.may_claim_as)

    def _kill_all_workers(self) -> None:
        for group in self.groups.values():
            group.kill_workers("lease")

    def _log_summary(self) -> None:
        if is_watched(self.options) and self.tree is not None:
            types = [group.spec.processor for group in self.groups.values()]
            services = [spec.role for spec in self.tree.services if spec.role in self.options.roles]
            sys.stderr.write(welcome(self.options, self.homes.app, types, services, os.getpid()))
            sys.stderr.flush()
        else:
            types_here = ", ".join(
                f"{group.spec.type} ({group.spec.workers})" for group in self.groups.values()
            )
            log.info(
                "up as pid %d; task types (workers): %s", os.getpid(), types_here or "none in this process"
            )

    def adopt_order(self, group: PoolGroup) -> TakeOver:
        """Tell a fetcher what it takes over."""
        live = [worker.as_worker() for worker in group.workers if worker.pid]
        former = [owner for owner in self.tenure.all_owners if owner != self.tenure.may_claim_as]
        return TakeOver(group.epoch, self.tenure.may_claim_as, former, live, list(group.unburied.values()))

    def _consider_drained(self) -> None:
        """With --drain: when every type says idle, ask each once more; when all agree in one round, stop."""
        if not self.options.drain or self.stopping is not None or not self._has_recovered:
            return
        groups = list(self.groups.values())
        answered = [group.idle_check == self._idle_check for group in groups]
        if not all(group.idle for group in groups):
            self._idle_check += 1
        elif all(answered) and self._idle_check:
            self.stop("drained")
        elif not any(answered) or not self._idle_check:
            self._idle_check += 1
            for group in groups:
                group.ask_idle(self._idle_check)

    def no_type_can_boot(self) -> bool:
        """Return whether no type of the tree has ever had a worker that booted, and all have tried enough."""
        return all(group.boot.held and not group.boot.ever_booted for group in self.groups.values())

    def _tell_state(self) -> None:
        state = {
            "types": {task_type: group.state() for task_type, group in self.groups.items()},
            "child_restarts": dict(self.restarts),
            "lease": bool(self.tenure.may_claim_as),
            "stopping": self.stopping is not None,
            "quiet": self.is_quiet,
            "known_types": [described["type"] for described in self.homes.app.get("types", ())],
            "started_at": self.started_at,
        }
        self._tell("monitor", TreeState(state))
        self._tell("lease", TreeState({**state, "processes": roster(self)}))

    def _tell(self, name: str, message: Message) -> None:
        child = self.family.children.named(name)
        if child is not None:
            child.channel.send(message)

    # -- reload -----------------------------------------------------------------------------------------

    def _reload(self, why: str) -> None:
        if self.stopping is None and self.tree is not None:
            log.info("%s: importing the app anew", why)
            self.homes.reload()

    def _on_reloaded(self, app: dict[str, Any]) -> None:
        self.tree = build_tree(self.options, app)
        wanted = {spec.type: spec for spec in self.tree.groups}
        generation = self.homes[NurseryKind.APP].generation
        for task_type, group in list(self.groups.items()):
            if task_type in wanted:
                group.reload(wanted[task_type], generation)
            else:
                group.drain()
        for task_type, spec in wanted.items():
            if task_type not in self.groups:
                self.groups[task_type] = PoolGroup(self, spec)
        for name in ("scheduler", "cleaner", "healer"):
            child = self.family.children.named(name)
            if child is not None:
                self.family.kill(child, "reload")  # they hold nothing: the next one knows the new app
        self._fill()


def _say(message: str) -> None:
    sys.stderr.write(f"goque: {' '.join(message.split())}\n")
