"""A dry run of an app for `goque check`: load it as a tree would, in a child process, and return what would run.

An app may end its process at import, by `os._exit` or a crash, start threads or change signal handlers. None of that
reaches the process that runs the check.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from datetime import UTC, datetime
from os import _exit  # the app may replace that of os
from typing import NoReturn

import msgspec

from goque.errors import ConfigurationError
from goque.execution.streams import flush_streams
from goque.handlers.processor_table import processors_of
from goque.options import ProcessorSpec
from goque.periodic.jobs import PeriodicJob, PeriodicJobError, next_slot, slot_text
from goque.pools.options import PoolSpec
from goque.private import ensure_temporary_directory
from goque.telemetry.logs import one_line
from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import BootFailed, Message, Ready
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.nursery.import_report import SLOW_IMPORT, import_ended, import_is_slow
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")


class JobPlan(msgspec.Struct, frozen=True):
    """A periodic job, and when it runs next in words."""

    name: str
    next_run: str


class Plan(msgspec.Struct, frozen=True):
    """What a tree would run, and on which database."""

    database_url: str
    pools: list[PoolSpec]
    types: list[ProcessorSpec]
    jobs: list[JobPlan]


def dry_run(options: SuperviseOptions) -> Plan:
    """Load the app in a child and return what a tree with these options would run.

    Raises:
        ConfigurationError: such a tree would refuse the app too, or loading it ended the process.
    """
    channel, theirs = Channel.pair()
    flush_streams()
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
        _exit(code)


def _load(end: socket.socket, parent: int, options: SuperviseOptions) -> int:
    ensure_temporary_directory("/tmp")  # noqa: S108 - nothing is written there: see its docstring
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
        flush_streams()  # what the app has printed; os._exit would drop it


def _first_message(channel: Channel) -> Message | None:
    """Wait for the first message of the child; None when it ended without one."""
    while not channel.closed:
        select.select([channel], [], [])
        for message in channel.receive():
            return message
    return None


def _plan(options: SuperviseOptions) -> Plan:
    from goque_supervisor.nursery.preload import load_app  # noqa: PLC0415 - as above

    registry, url, pools = load_app(options, None)
    pool_of = {task_type: pool.name for pool in pools for task_type in pool.types}
    runs = "processors" in options.roles
    types = [
        spec
        for spec in processors_of(registry).specs()
        if runs and options.runs(spec.type, pool_of[spec.type])
    ]
    used = {pool_of[spec.type] for spec in types}
    return Plan(
        url,
        pools=[pool for pool in pools if pool.name in used],
        types=types,
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
