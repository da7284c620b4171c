"""Any payload comes back from any backend as it went in, typed and plain, with its metadata and result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pytest
from backends import claim, done, make, row_of
from hypothesis import given, settings
from hypothesis import strategies as st

import goque
from goque.callbacks import Callbacks
from goque.handlers.processor import make_processor
from goque.options import ProcessorOptions
from goque.payload import encode_payload
from goque.storage.sql.storage import SqlStorage
from goque.task import Task


class Item(msgspec.Struct):
    name: str
    price: Decimal
    weight: float = 0.0


class Order(msgspec.Struct, rename="camel"):
    items: list[Item]
    placed_at: datetime | None = None
    notes: dict[str, int] = {}


@dataclass
class Report:
    month: date
    lines: list[str]


class Address(TypedDict, total=False):
    street: str
    number: int


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
whole = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
payloads = st.one_of(
    st.builds(
        Order,
        st.lists(
            st.builds(Item, texts, st.decimals(allow_nan=False, allow_infinity=False, places=2), floats),
            max_size=3,
        ),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.dictionaries(texts, whole, max_size=3),
    ),
    st.builds(Report, st.dates(), st.lists(texts, max_size=3)),
    st.fixed_dictionaries({"street": texts}, optional={"number": whole}),
)
values = st.recursive(
    st.none() | st.booleans() | whole | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
numbers = count()
DECODERS = {
    kind: make_processor(
        "round", goque.typed_task_processor(lambda task: None, kind), ProcessorOptions(), Callbacks()
    )
    for kind in (Order, Report, Address)
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mysql"])
def storage(request: pytest.FixtureRequest) -> Iterator[SqlStorage]:
    """One database for all the examples of a test."""
    with tempfile.TemporaryDirectory() as folder:
        backend = make(request.param, Path(folder))
        made = backend.new_storage()
        made.migrate()
        yield made
        backend.close()


@settings(deadline=None, max_examples=60)
@given(payload=payloads)
def test_a_typed_payload_comes_back_as_it_was_enqueued(storage: SqlStorage, payload: Any) -> None:
    [task] = storage.insert_tasks([Task("round", payload)])
    kind = type(payload) if type(payload) in DECODERS else Address
    assert DECODERS[kind].make_argument(row_of(storage, task))[1].payload == payload


@settings(deadline=None, max_examples=60)
@given(
    payload=values,
    metadata=st.dictionaries(texts.filter(bool), values, max_size=3),
    result=values,
    text=texts,
)
def test_plain_payload_metadata_external_id_and_result_come_back_as_they_went_in(
    storage: SqlStorage, payload: Any, metadata: dict[str, Any], result: Any, text: str
) -> None:
    external_id = f"{next(numbers)} {''.join(char for char in text if char.isprintable())}"
    [task] = storage.insert_tasks([Task("plain", payload, metadata=metadata, external_id=external_id)])
    [row] = claim(storage, task_type="plain")
    assert storage.settle_if_held([done(row, result=encode_payload(result))]) == {row.token}
    read = Task.from_row(row_of(storage, task))
    assert (read.payload, read.metadata, read.external_id) == (payload, metadata, external_id)
    assert read.result == result
