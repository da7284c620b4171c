"""PgQueuer on PostgreSQL through asyncpg and uvloop: handlers inside its asyncio processes, large batches."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import uvloop
from conversation import Queue, burn, main, note, note_first
from pgqueuer import AsyncpgDriver, PgQueuer, Queries

SETTINGS: dict[str, dict[str, int]] = {
    "noop": {"batch_size": 1000},
    "first": {"batch_size": 500},
    "cpu": {"batch_size": 2, "max_concurrent_tasks": 4},
    "stamp": {"batch_size": 10},
}
"""Large batches for fast handlers. For handlers that use the CPU, small ones: the other process must get tasks too."""


class PgQueuerQueue(Queue):
    """Enqueues on one connection and runs tasks on others."""

    processes = 2

    def install(self) -> None:
        """Create its tables, and keep a connection."""
        self.loop = uvloop.new_event_loop()
        self.connection = self._do(asyncpg.connect(self.where))
        self.queries = Queries(AsyncpgDriver(self.connection))
        self._do(self.queries.install())

    def enqueue(self, kind: str, argument: float) -> None:
        """Enqueue one job."""
        self._do(self.queries.enqueue(kind, str(argument).encode()))

    def enqueue_many(self, kind: str, argument: float, count: int) -> None:
        """Enqueue a batch."""
        self._do(self.queries.enqueue([kind] * count, [str(argument).encode()] * count, [0] * count))

    def vacuum(self) -> None:
        """Do it for the table of waiting jobs."""
        self._do(self.connection.execute("VACUUM ANALYZE pgqueuer"))

    def is_drained(self) -> bool:
        """Return whether no job waits or runs. PgQueuer moves finished jobs to its log table."""
        return not self._do(self.connection.fetchval("SELECT EXISTS (SELECT 1 FROM pgqueuer)"))

    def work(self, kind: str) -> None:
        """Run a worker."""
        uvloop.install()
        asyncio.run(self._work(SETTINGS[kind]))

    async def _work(self, settings: dict[str, int]) -> None:
        app = PgQueuer(AsyncpgDriver(await asyncpg.connect(self.where)))

        @app.entrypoint("noop")
        async def noop(job: Any) -> None:
            """Do nothing."""

        @app.entrypoint("first")
        async def first(job: Any) -> None:
            del job
            note_first()

        @app.entrypoint("cpu")
        async def cpu(job: Any) -> None:
            burn(float(job.payload))

        @app.entrypoint("stamp")
        async def stamp(job: Any) -> None:
            note(int(job.payload))

        await app.run(**settings)

    def _do(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)


if __name__ == "__main__":
    main(PgQueuerQueue)
