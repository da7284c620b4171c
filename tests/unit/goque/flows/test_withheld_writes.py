"""What the process of a replay does instead of writing to the queue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from goque import GoqueError, Task
from goque.flows import withheld_writes
from goque.flows.withheld_writes import Withheld


@pytest.fixture
def reported() -> Iterator[list[Withheld]]:
    found: list[Withheld] = []
    before = withheld_writes.withhold_writes_of_process(found.extend)
    yield found
    withheld_writes.withhold_writes_of_process(before)


def test_changes_are_reported_and_count_as_made(reported: list[Withheld]) -> None:
    tasks = [Task("mail", 1), Task("mail", 2)]
    assert withheld_writes.are_withheld(tasks)
    assert withheld_writes.is_withheld("cancel", "7")
    assert [(one.action, one.task_id) for one in reported] == [
        ("enqueue", tasks[0].id),
        ("enqueue", tasks[1].id),
        ("cancel", "7"),
    ]
    assert [one.task.payload for one in reported if one.task is not None] == [b"1", b"2"]


def test_other_changes_are_refused(reported: list[Withheld]) -> None:
    with pytest.raises(GoqueError, match="a replay changes nothing in the queue"):
        withheld_writes.refuse_write_in_replay()
    assert reported == []


def test_elsewhere_everything_is_written() -> None:
    assert not withheld_writes.are_withheld([Task("mail", 1)])
    assert not withheld_writes.is_withheld("cancel", "7")
    withheld_writes.refuse_write_in_replay()
