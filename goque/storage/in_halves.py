"""Write a batch of which the database may reject an item: the others are written all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from goque.errors import DatabaseUnavailableError

ItemT = TypeVar("ItemT")
WrittenT = TypeVar("WrittenT")


def write_in_halves(
    items: Sequence[ItemT],
    write: Callable[[Sequence[ItemT]], AbstractSet[WrittenT]],
    set_aside: Callable[[ItemT, Exception], AbstractSet[WrittenT]],
) -> set[WrittenT]:
    """Write items as one batch. If the database rejects it, halve it until a rejected item is alone.

    Args:
        items: what is to be written.
        write: writes some items in one transaction, and returns what it has written.
        set_aside: called with each item that is rejected alone and with the error; returns what it has written instead.

    Raises:
        DatabaseUnavailableError: the database does not answer. What is written by then stays written.
    """
    if not items:
        return set()
    try:
        return set(write(items))
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - of any driver; `set_aside` gets it
        if len(items) == 1:
            return set(set_aside(items[0], error))
    middle = len(items) // 2
    first = write_in_halves(items[:middle], write, set_aside)
    return first | write_in_halves(items[middle:], write, set_aside)
