"""What one process reports of its database to the root."""

from __future__ import annotations

import logging

from goque_supervisor.ipc.control import DatabaseAway, DatabaseBack, Message
from goque_supervisor.outage import REPORT_PERIOD, Outage


def test_it_reports_each_reason_at_once_and_the_same_after_a_while() -> None:
    sent, now = list[Message](), [0.0]
    outage = Outage(sent.append, logging.getLogger("test.outage"), clock=lambda: now[0])
    assert not outage.answered()
    for second, why in ((0, "refused"), (1, "refused"), (2, "timed out"), (3, "timed out")):
        now[0] = second
        outage.failed(why)
    now[0] = 2 + REPORT_PERIOD
    outage.failed("timed out")
    assert outage.failures == 5
    assert outage.answered()
    assert not outage.answered()
    texts = [message.text for message in sent if isinstance(message, DatabaseAway)]
    assert [text.partition("(")[2].partition(")")[0] for text in texts] == [
        "refused",
        "timed out",
        "timed out",
    ]
    assert sent[3:] == [DatabaseBack()]
