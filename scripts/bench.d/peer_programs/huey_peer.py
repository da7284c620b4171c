"""Huey on SQLite with fsync: two worker processes that poll every few milliseconds."""

from __future__ import annotations

from conversation import Queue, burn, main, note, note_first
from huey import SqliteHuey


class HueyQueue(Queue):
    """A queue in a file. A worker removes a task from the file before it runs it."""

    processes = 1

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.huey = SqliteHuey(filename=where.removeprefix("sqlite:///"), fsync=True, results=False)
        self.tasks = {name: self.huey.task(name=name)(handler) for name, handler in HANDLERS.items()}

    def install(self) -> None:
        """Do nothing: Huey creates its tables by itself."""

    def enqueue(self, kind: str, argument: float) -> None:
        """Enqueue one task."""
        self.tasks[kind](argument)

    def enqueue_many(self, kind: str, argument: float, count: int) -> None:
        """Enqueue one after the other, because Huey has no call for many tasks."""
        for _ in range(count):
            self.tasks[kind](argument)

    def is_drained(self) -> bool:
        """Return whether no task waits. The last tasks may still run."""
        return self.huey.pending_count() == 0

    def work(self, kind: str) -> None:
        """Run the consumer with its two worker processes."""
        del kind
        consumer = self.huey.create_consumer(
            workers=2, worker_type="process", initial_delay=0.005, max_delay=0.02, periodic=False
        )
        consumer.run()


def noop(argument: float) -> None:
    """Do nothing."""


def first(argument: float) -> None:
    """Record when the process began its first task."""
    del argument
    note_first()


def cpu(argument: float) -> None:
    """Use the CPU."""
    burn(argument)


def stamp(argument: float) -> None:
    """Record when the task was sent and when it began."""
    note(argument)


HANDLERS = {"noop": noop, "first": first, "cpu": cpu, "stamp": stamp}

if __name__ == "__main__":
    main(HueyQueue)
