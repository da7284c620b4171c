"""Records: frozen, compared by their values, and strict in what they are made of."""

from __future__ import annotations

from typing import Any

import pytest

from goque_supervisor.ipc.record import Record


class Point(Record):
    x: int
    y: int = 7


class Place(Record):
    x: int
    y: int = 7


def test_fields_come_by_position_by_name_and_by_default() -> None:
    assert Point(1).fields() == Point(x=1).fields() == {"x": 1, "y": 7}
    assert Point(1, y=2) == Point(1, 2)
    assert repr(Point(1)) == "Point(x=1, y=7)"
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_two_are_equal_if_their_kinds_and_values_are() -> None:
    assert Point(1) == Point(1, 7)
    assert Point(1) != Point(2)
    assert Point(1) != Place(1)


@pytest.mark.parametrize(("args", "values"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 2}), ((1,), {"z": 2})])
def test_a_wrong_field_is_refused(args: tuple[Any, ...], values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*args, **values)


def test_it_cannot_be_changed() -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError, match="'x' of a Point is frozen"):
        point.x = 2
