"""How a handler ends early because it sleeps or waits for a signal."""

from __future__ import annotations


class StepPause(BaseException):
    """Ends a run that has something to wait for: uncharged, and no process waits.

    It is no Exception, so that a handler which catches all of those does not go on as if the wait were over. One that
    catches this too does not go on either: its next step raises it again, and so does its end.

    Args:
        seconds: until the task is due again.
        text: what it waits for.
        signals: those that make it due earlier.
    """

    def __init__(self, seconds: float, text: str, *, signals: tuple[str, ...] = ()) -> None:
        self.seconds = seconds
        self.signals = signals
        super().__init__(text)

    def again(self) -> StepPause:
        """Return the same pause, with a traceback of its own."""
        return StepPause(self.seconds, str(self), signals=self.signals)

    def beside(self, other: StepPause) -> StepPause:
        """Return what two pauses side by side make together: the first one to end ends both."""
        first = self if self.seconds <= other.seconds else other
        return StepPause(first.seconds, str(first), signals=(*self.signals, *other.signals))
