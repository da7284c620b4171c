"""Ids that are no UUIDv7 and times that no clock shows get a page, never an error of the server."""

from __future__ import annotations

import pytest
from dashboards import add, on_every_backend

from goque.storage.search_types import time_of_id

IDS = [
    "11111111-1111-4111-8111-111111111111",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
]
TIMES = [
    "0001-01-01",
    "0001-01-01T00:00%2B10:00",
    "0999-01-01",
    "1582-10-10",
    "1969-12-31",
    "9999-12-31T23:59:59.999999",
    "9999-12-31T23:59:59-14:00",
    "12026-01-01",
]
FILTERS = ["", "&status=done", "&type=mail", "&error=x", "&status=done&type=mail", "&external_id=x"]


@on_every_backend
def test_every_id_and_time_gets_a_page(storage, dashboard):
    add(storage)
    paths = [
        *(f"/tasks/{one}" for one in IDS),
        *(f"/do/cancel?id={one}" for one in IDS),
        *(f"/tasks?before={one}{more}" for one in IDS for more in FILTERS),
        *(f"/tasks?{name}={time}{more}" for name in ("from", "until") for time in TIMES for more in FILTERS),
        *(f"/do/cancel-all?query=status%3Dnew%26from%3D{time}" for time in TIMES),
    ]
    failed = [(path, status) for path in paths if (status := dashboard.get(path).status_code) >= 500]
    assert failed == []


@pytest.mark.parametrize("task_id", [*IDS, "", "no id", "zz-zz", "12"])
def test_an_id_of_others_has_some_time(task_id):
    assert time_of_id(task_id).tzinfo is not None
