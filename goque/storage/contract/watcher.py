"""How a fetcher hears of new work before its next tick."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Watcher(ABC):
    """Tells a fetcher that new work may have come, sooner than its tick would.

    Attributes:
        hears_every_write: whether `changed` tells of cancels and resets too.
        rests: whether `rest` is of use here.
    """

    hears_every_write: bool = False
    rests: bool = False

    @abstractmethod
    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when something changed, or None to be polled."""

    @abstractmethod
    def changed(self) -> bool:
        """Return whether somebody else may have written since the last call; clears the descriptor."""

    def wrote(self) -> None:
        """Take note that this process has written: what stirs by that is no news."""
        return

    def rest(self, seconds: float) -> None:
        """Keep quiet for so long, and only then tell of what changes meanwhile: it is mostly for others."""
        del seconds

    def found(self, tasks: int) -> None:
        """Take note of how many tasks a claim has found."""
        del tasks

    def ask_again_in(self) -> float | None:
        """Return the seconds after which to ask once more though the descriptor is silent, None for not at all."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give up what the watcher holds."""
