"""How a handler ends early because it sleeps or waits for a signal."""

from __future__ import annotations


class StepPause(BaseException):
    """Ends a run that has something to wait for: uncharged, and no process waits.

    It is no Exception, so that a handler which catches all of those does not go on as if the wait were over.

    Args:
        seconds: until the task is due again.
        awaits_signal: whether a signal makes it due earlier.
        text: what it waits for.
    """

    def __init__(self, seconds: float, text: str, *, awaits_signal: bool = False) -> None:
        self.seconds = seconds
        self.awaits_signal = awaits_signal
        super().__init__(text)
