"""One line for the tree when the database goes away, and one when it is back."""

from __future__ import annotations

import pytest

from goque_supervisor.root.database_outage import DatabaseOutage


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> DatabaseOutage:
    caplog.set_level("INFO")
    return DatabaseOutage()


def test_eight_processes_that_notice_an_outage_are_one_line(
    outage: DatabaseOutage, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        outage.on_away(f"process-{number}", f"reason {number % 2}", 100.0 + number / 10)
    for number in range(8):
        outage.on_back(107.0 + number / 10)
    assert caplog.messages == ["reason 0", "the database answers again, 7.0s after the first warning"]
    assert caplog.records[0].reported_by == "process-0"


def test_a_new_reason_is_logged_later_and_the_same_once_a_minute(
    outage: DatabaseOutage, caplog: pytest.LogCaptureFixture
) -> None:
    for second, text in ((0, "a"), (4, "b"), (6, "b"), (12, "a"), (13, "b"), (66, "a"), (80, "b")):
        outage.on_away("lease", text, 100.0 + second)
    assert caplog.messages == ["a", "b", "a"], "at 0, 6 and 66 seconds"


def test_one_that_is_late_to_notice_begins_no_second_outage(
    outage: DatabaseOutage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.on_away("lease", "a", 100.0)
    outage.on_back(110.0)
    outage.on_away("healer", "a", 111.0)
    assert len(caplog.messages) == 2
    outage.on_away("healer", "a", 116.0)
    assert caplog.messages[2:] == ["a"], "its own trouble lasts"


def test_a_process_that_comes_back_alone_says_nothing(
    outage: DatabaseOutage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.on_back(100.0)
    assert not caplog.messages
