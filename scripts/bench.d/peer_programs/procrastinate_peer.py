"""Procrastinate on PostgreSQL: two worker processes with LISTEN, async handlers, several jobs at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import procrastinate
import psycopg
from conversation import Queue, burn, main, note, note_first

logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an app in the main module


class ProcrastinateQueue(Queue):
    """Enqueues with the synchronous connector and runs jobs with the asynchronous one."""

    def install(self) -> None:
        """Apply the schema, and keep the pool open."""
        app, self.tasks = make_app(procrastinate.SyncPsycopgConnector(conninfo=self.where))
        app.open()
        app.schema_manager.apply_schema()
        self.connection = psycopg.connect(self.where, autocommit=True)

    def enqueue(self, kind: str, argument: float) -> None:
        """Defer one job."""
        self.tasks[kind].defer(argument=argument)

    def enqueue_many(self, kind: str, argument: float, count: int) -> None:
        """Defer a batch."""
        self.tasks[kind].batch_defer(*({"argument": argument} for _ in range(count)))

    def vacuum(self) -> None:
        """Do it for the table of jobs."""
        self.connection.execute("VACUUM ANALYZE procrastinate_jobs")

    def is_drained(self) -> bool:
        """Return whether no job waits or runs."""
        row = self.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
        ).fetchone()
        return row is not None and not row[0]

    def work(self, kind: str) -> None:
        """Run a worker: many jobs at a time, or one job if jobs use the CPU."""
        asyncio.run(self._work(1 if kind == "cpu" else 20))

    async def _work(self, concurrency: int) -> None:
        app, _ = make_app(procrastinate.PsycopgConnector(conninfo=self.where))
        async with app.open_async():
            await app.run_worker_async(concurrency=concurrency, install_signal_handlers=False)


def make_app(connector: Any) -> tuple[procrastinate.App, dict[str, Any]]:
    """Make an app, and return its tasks by their names."""
    app = procrastinate.App(connector=connector)
    return app, {kind: app.task(name=kind)(handler) for kind, handler in HANDLERS.items()}


async def noop(argument: float) -> None:
    """Do nothing."""


async def first(argument: float) -> None:
    """Record when the process began its first job."""
    del argument
    note_first()


async def cpu(argument: float) -> None:
    """Use the CPU."""
    burn(argument)


async def stamp(argument: float) -> None:
    """Record when the job was sent and when it began."""
    note(argument)


HANDLERS = {"noop": noop, "first": first, "cpu": cpu, "stamp": stamp}

if __name__ == "__main__":
    main(ProcrastinateQueue)
