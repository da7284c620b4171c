"""What `goque check` does with an app: load it as a tree would, in a process of its own, and ask what would run.

An app may end its process at import, by `os._exit` or a crash, and start threads or change signals: none of that
may reach the process that asks.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
from datetime import UTC, datetime
from typing import NoReturn

import msgspec

from goque.errors import ConfigurationError
from goque.options import ProcessorSpec
from goque.periodic.jobs import PeriodicJob, PeriodicJobError, next_slot, slot_text
from goque.processor_table import processors_of
from goque.telemetry.logs import one_line
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import BootFailed, Channel, Message, Ready
from goque_supervisor.root.nurseries import SLOW_IMPORT, import_ended, import_is_slow
from goque_supervisor.root.restart_policy import ExitCause
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")


class JobPlan(msgspec.Struct, frozen=True):
    """A periodic job, and in words when it runs next."""

    name: str
    next_run: str


class Plan(msgspec.Struct, frozen=True):
    """What a tree of these options would run, and on which database."""

    database_url: str
    types: list[ProcessorSpec]
    jobs: list[JobPlan]


def rehearse(options: SuperviseOptions) -> Plan:
    """Load the app in a child and return what it would run.

    Raises:
        ConfigurationError: a tree of these options would refuse the app too, or loading it ended the process.
    """
    channel, theirs = Channel.pair()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        channel.close()
        _become_child(theirs, parent, options)
    theirs.close()
    try:
        if not select.select([channel], [], [], SLOW_IMPORT)[0]:
            log.warning("%s", import_is_slow(options.app, pid))
        answer = _first_message(channel)
    except BaseException:
        os_process.kill(pid)
        raise
    finally:
        channel.close()  # a child that has answered ends by that
        _pid, status = os.waitpid(pid, 0)
    match answer:
        case Ready(info):
            return msgspec.convert(info["plan"], Plan)
        case BootFailed(text, exit_code):
            refusal = ConfigurationError(text)
            refusal.exit_code = exit_code
            raise refusal
        case _:
            cause = ExitCause.from_status(os.waitstatus_to_exitcode(status))
            raise ConfigurationError(import_ended(options.app, cause))


def _become_child(end: socket.socket, parent: int, options: SuperviseOptions) -> NoReturn:
    code = 1
    try:
        code = _load(end, parent, options)
    finally:
        os._exit(code)


def _load(end: socket.socket, parent: int, options: SuperviseOptions) -> int:
    from goque_supervisor.nursery.forker import run_nursery  # noqa: PLC0415 - what an app needs is loaded beside it only

    try:
        return run_nursery(
            end,
            parent,
            name="app",
            start_method=options.start_method,
            prepare=lambda: {"plan": msgspec.to_builtins(_plan(options))},
        )
    finally:
        sys.stdout.flush()  # what the app has printed; os._exit would drop it


def _first_message(channel: Channel) -> Message | None:
    """Wait for what the child has to say; None when it ended without a word."""
    while not channel.closed:
        select.select([channel], [], [])
        for message in channel.receive():
            return message
    return None


def _plan(options: SuperviseOptions) -> Plan:
    from goque_supervisor.nursery.preload import load_app  # noqa: PLC0415 - as above

    registry, url = load_app(options, None)
    return Plan(
        url,
        types=[spec for spec in processors_of(registry).specs() if options.runs(spec.type)]
        if "processors" in options.roles
        else [],
        jobs=[JobPlan(job.name, _next_run(job)) for job in registry.jobs]
        if "scheduler" in options.roles
        else [],
    )


def _next_run(job: PeriodicJob) -> str:
    try:
        slot = next_slot(job, datetime.now(UTC))
    except PeriodicJobError as error:
        return one_line(str(error))
    return "its schedule has ended" if slot is None else f"next at {slot_text(slot)}, misfire={job.misfire}"
