from __future__ import annotations

import math
from typing import Any

import pytest

from goque.storage.sql.read_values import MAX_COUNT, read_count, read_number, read_optional_int

pytestmark = pytest.mark.fault(59)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (3, 3),
        (-5, -5),
        (2**63 - 1, MAX_COUNT),
        (-(2**63), -MAX_COUNT - 1),
        (1.5, 0),
        (math.inf, 0),
        ("many", 0),
        (b"\xff", 0),
        (None, 0),
    ],
)
def test_a_counter_is_a_whole_number_within_the_limits_of_every_database(value: Any, read: int) -> None:
    assert read_count(value) == read


@pytest.mark.parametrize(
    ("value", "read"), [(11, 11), (2**62, 2**62), (2**64, None), (1.5, None), ("x", None), (None, None)]
)
def test_another_number_is_whole_or_unknown(value: Any, read: int | None) -> None:
    assert read_optional_int(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(5, 5), (0.0, 0.0), (1e300, 100.0), (-1.0, 60.0), (math.nan, 60.0), (math.inf, 60.0), ("x", 60.0)],
)
def test_a_length_of_time_is_finite_and_not_below_zero(value: Any, read: float) -> None:
    assert read_number(value, 60.0, most=100.0) == read
