from __future__ import annotations

from goque_supervisor.actors.http_server import Answer, SharedPage


def test_a_request_that_waited_gets_the_answer_that_was_begun_meanwhile_and_a_later_one_another() -> None:
    made = []

    def make() -> Answer:
        made.append(1)
        return 200, "text/plain", b"%d" % len(made)

    first_asks, first_begins = 1.0, 5.0
    waited_asks, later_asks, later_begins = 4.0, 6.0, 7.0
    times = iter([first_asks, first_begins, waited_asks, later_asks, later_begins])
    page = SharedPage(make, clock=lambda: next(times))
    assert [page()[2] for _ in range(3)] == [b"1", b"1", b"2"]
