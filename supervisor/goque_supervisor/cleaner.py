"""The cleaner: deletes finished tasks when they are old enough, in bounded batches."""

from __future__ import annotations

import time
from typing import Any, Final

from goque.storage.storage import TypePolicy
from goque.task import TaskStatus
from goque_supervisor.actor import Actor
from goque_supervisor.control import Beat, Channel

BATCH: Final = 1000
KEEP_UNPUBLISHED: Final = 604800.0
ENDED_WELL: Final = (TaskStatus.DONE, TaskStatus.CANCELED)
ENDED_BADLY: Final = (TaskStatus.ATTEMPTS_LEFT,)


class Cleaner(Actor):
    """Cleans each type by what its owner has published, and types that nobody has published after a week."""

    def run_once(self) -> float:
        """Delete what is old enough, as far as the time limit of one round allows."""
        options = [spec["options"] for spec in self.boot["types"]]
        limit = time.monotonic() + max(
            (entry.get("cleaner_timeout", 30.0) for entry in options), default=30.0
        )
        for policy in self.storage.type_policies().values():
            self._clean_type(policy, limit)
        self._clean(None, (*ENDED_WELL, *ENDED_BADLY), KEEP_UNPUBLISHED, limit)
        return min((float(entry.get("cleaner_period", 300.0)) for entry in options), default=300.0)

    def _clean_type(self, policy: TypePolicy, limit: float) -> None:
        self._clean(policy.type, ENDED_WELL, policy.cleaner_age, limit)
        self._clean(policy.type, ENDED_BADLY, policy.cleaner_keep_failed, limit)

    def _clean(
        self, task_type: str | None, statuses: tuple[TaskStatus, ...], age: float, limit: float
    ) -> None:
        deleted = 0
        while time.monotonic() < limit and not self.stopping:
            batch = self.storage.delete_finished(task_type, statuses, age, limit=BATCH)
            deleted += batch
            self.channel.send(Beat())
            if batch < BATCH:
                break
        if deleted:
            self.log.info(
                "deleted %d finished tasks of %s",
                deleted,
                "types without an owner" if task_type is None else task_type,
            )


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the cleaner in this process."""
    Cleaner(boot, channel).run()
