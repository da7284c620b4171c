"""The recovery of dead trees: one that cannot be recovered does not delay the others."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path

import pytest

from goque.errors import DatabaseUnavailableError
from goque.storage import TaskStorage
from goque_supervisor.actors.crash_recovery import CrashRecovery
from goque_supervisor.ipc import os_process

pytestmark = pytest.mark.fault(60)


class Strange:
    """A storage whose every call raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def nodes(self) -> None:
        self.calls += 1
        raise self.error


def recovery(base: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[CrashRecovery, Strange]:
    """Leave two dead trees, which no process uses."""
    monkeypatch.setattr(os_process, "kill_users_of", lambda _path: None)
    for name in ("1-dead", "2-dead"):
        (base / name).mkdir(mode=0o700)
        (base / name / "lock").touch()
        tree = {"boot": os_process.boot_id(), "database": "d", "pid": 7, "owners": ["a" * 36]}
        (base / name / "tree.json").write_text(json.dumps(tree), "utf-8")
    storage = Strange(error)
    made: TaskStorage = storage  # type: ignore[assignment]  # the recovery asks for nothing else first
    return CrashRecovery(made, base, "d"), storage


def test_row_60_any_error_in_one_directory_is_one_line_and_the_next_is_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crash_recovery, storage = recovery(tmp_path, ValueError("not\x00this"), monkeypatch)
    with caplog.at_level(logging.ERROR, "goque.healer"):
        crash_recovery.run()
    assert storage.calls == 2
    assert [("1-dead" in line, "2-dead" in line) for line in caplog.messages] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), OSError(errno.EMFILE, "too many")])
def test_row_60_an_error_that_passes_leaves_the_directories_for_a_later_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    crash_recovery, storage = recovery(tmp_path, error, monkeypatch)
    for _round in range(2):
        with pytest.raises(type(error)):
            crash_recovery.run()  # the lock of the first round is free again
    assert storage.calls == 2
    assert len(list(tmp_path.glob("*/tree.json"))) == 2
