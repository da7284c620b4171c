"""A manager of the other kind on the same storage keeps the registry's priorities and checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque import AsyncTaskQueueManager, ConfigurationError, Registry, TaskQueueManager, UnknownTypeError
from goque.queue.manager_storage import same_queue, storage_of


def test_the_other_kind_of_manager_has_the_same_rules(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/goque.db")
    registry.add_processor("urgent", lambda task: None, priority=50)
    plain = same_queue(registry.async_queue, TaskQueueManager)
    assert storage_of(plain) is storage_of(registry.async_queue)
    assert plain.enqueue("urgent").priority == 50
    with pytest.raises(UnknownTypeError):
        plain.enqueue("nosuch")
    plain.close()
    assert same_queue(registry.queue, TaskQueueManager) is registry.queue
    assert isinstance(same_queue(registry.queue, AsyncTaskQueueManager), AsyncTaskQueueManager)


def test_the_check_of_a_manager_is_a_function() -> None:
    wrong: object = "strict"
    with pytest.raises(ConfigurationError, match="prepare_tasks must be a function of tasks"):
        TaskQueueManager("sqlite:///never.db", prepare_tasks=wrong)  # type: ignore[arg-type]  # on purpose
