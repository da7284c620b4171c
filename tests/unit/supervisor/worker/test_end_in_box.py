"""What a worker keeps of an outcome that its black box has no room for."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from goque.outcome import Outcome, OutcomeKind
from goque_supervisor.worker.worker import Worker


class SmallBox:
    """A black box on a full file system."""

    path = Path("/run/tree/boxes/1")

    def end(self, _seq: int, outcome: bytes) -> None:
        if len(outcome) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"needed_result": b"1" * 2000}, OutcomeKind.DONE), ({"result": b"1" * 2000}, OutcomeKind.FAILED)],
)
def test_a_result_without_room_fails_the_attempt_only_if_it_is_to_be_stored(
    fields: dict[str, Any], kind: OutcomeKind
) -> None:
    class BareWorker(Worker):
        def __init__(self) -> None:
            self.box: Any = SmallBox()

    kept = BareWorker()._end_in_box(1, Outcome(OutcomeKind.DONE, **fields))
    assert (kept.kind, kept.result, kept.needed_result) == (kind, None, None)
    assert (kept.error or kept.no_result) == (
        "the worker cannot keep its result in /run/tree: No space left on device"
    )
