"""Payload types of every make: what decodes, what is refused, and where the error says that it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import attrs
import dill
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque import ConfigurationError, PayloadDecodeError, PayloadEncodeError, Registry, TypedTask
from goque.handlers.processor_table import processors_of
from goque.payload import encode_payload
from goque.task_row import TaskRow


class Colour(Enum):
    RED = "red"


class Item(msgspec.Struct):
    name: str
    price: Decimal


class Order(msgspec.Struct):
    items: list[Item]
    paid_at: datetime | None = None


@dataclass
class Size:
    width: int
    height: int = 1


class Address(TypedDict):
    street: str


class Point(NamedTuple):
    x: int
    y: int


@attrs.define
class Parcel:
    weight: int = attrs.field(validator=attrs.validators.gt(0))
    label: str = ""


class Line(pydantic.BaseModel):
    quantity: int


class Invoice(pydantic.BaseModel):
    number: str = pydantic.Field(alias="invoiceNumber")
    lines: list[Line] = []
    due: date | None = None


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    count: int
    at: datetime


@pydantic.dataclasses.dataclass
class Checked:
    age: Annotated[int, pydantic.Field(gt=0)]


class Mixed(msgspec.Struct):
    line: Line
    others: list[Line] = []


@attrs.define
class Lists:
    sizes: list[Size]
    colour: Colour


def row(payload: bytes) -> TaskRow:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return TaskRow("id", "t", "key", payload, "processing", 0, None, b"{}", now, None, now)


def handler_of(payload_type: Any) -> Any:
    def handler(payload: Any) -> None: ...

    handler.__annotations__["payload"] = payload_type
    registry = Registry()
    registry.add_processor("t", handler, workers=1)
    return processors_of(dill.loads(dill.dumps(registry))).get("t")


def decode(payload_type: Any, payload: bytes) -> Any:
    return handler_of(payload_type).make_argument(row(payload))[1]


PAYLOADS = (
    (Order, Order([Item("pen", Decimal("1.20"))], datetime(2026, 1, 1, tzinfo=UTC))),
    (Size, Size(3)),
    (list[Size], [Size(1), Size(2)]),
    (Address, {"street": "Long Lane"}),
    (Point, Point(1, 2)),
    (Parcel, Parcel(3, "fragile")),
    (Lists, Lists([Size(1)], Colour.RED)),
    (Invoice, Invoice(invoiceNumber="7", lines=[Line(quantity=2)], due=date(2026, 1, 1))),
    (list[Invoice], [Invoice(invoiceNumber="7")]),
    (dict[str, Line], {"a": Line(quantity=1)}),
    (Line | None, None),
    (Strict, Strict(count=1, at=datetime(2026, 1, 1, tzinfo=UTC))),
    (Checked, Checked(age=3)),
    (Mixed, Mixed(Line(quantity=1), [Line(quantity=2)])),
    (dict[str, object], {"anything": [1, "x", None]}),
    (tuple[int, str], (1, "x")),
    (UUID, UUID(int=7)),
    (Literal["a", "b"], "b"),
    (timedelta, timedelta(seconds=90)),
    (int | str, "x"),
)


@pytest.mark.parametrize(("payload_type", "payload"), PAYLOADS, ids=str)
def test_a_payload_comes_back_as_it_was_enqueued(payload_type: Any, payload: Any) -> None:
    assert decode(payload_type, encode_payload(payload)) == payload
    assert decode(TypedTask[payload_type], encode_payload(payload)).payload == payload


@pytest.mark.parametrize(
    ("payload_type", "payload", "said"),
    [
        (Order, {"items": [{"name": "pen", "price": "x"}]}, "at `$.items[0].price`"),
        (Order, {"items": [{"name": "pen"}]}, "required field `price` - at `$.items[0]`"),
        (Size, {"width": "3"}, "Expected `int`, got `str` - at `$.width`"),
        (Address, {}, "`street`"),
        (Parcel, {"weight": -1}, "'weight' must be > 0"),
        (Invoice, {"invoiceNumber": "7", "lines": [{}]}, "Field required - at `$.lines[0].quantity`"),
        (Invoice, {"number": "7"}, "Field required - at `$.invoiceNumber`"),
        (list[Line], [{"quantity": 1}, {"quantity": "x"}], "at `$[1].quantity`"),
        (Strict, {"count": "1", "at": "2026-01-01T00:00:00Z"}, "valid integer - at `$.count`"),
        (Checked, {"age": -1}, "greater than 0 - at `$.age`"),
        (Mixed, {"line": {"quantity": "x"}}, "at `$.line`"),
    ],
)
def test_the_error_names_the_field(payload_type: Any, payload: Any, said: str) -> None:
    with pytest.raises(PayloadDecodeError) as raised:
        decode(payload_type, json.dumps(payload).encode())
    assert str(raised.value).startswith("payload does not decode: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_pydantic_names_several_mistakes_and_counts_the_rest() -> None:
    with pytest.raises(PayloadDecodeError) as raised:
        decode(Invoice, json.dumps({"invoiceNumber": "7", "lines": [{}] * 9}).encode())
    assert str(raised.value).count("Field required") == 5
    assert str(raised.value).endswith("; and 4 more")


def test_strictness_is_msgspecs_and_pydantics_own() -> None:
    with pytest.raises(PayloadDecodeError, match="Expected `int`, got `str`"):
        decode(Size, b'{"width": "3"}')
    assert decode(Size, b'{"width": 3, "unknown": true}') == Size(3)
    assert decode(Line, b'{"quantity": "3"}') == Line(quantity=3)


def test_whatever_decoding_raises_is_a_decode_error() -> None:
    with pytest.raises(PayloadDecodeError, match="payload does not decode: KeyError: 'x'"):
        decode(Odd, b'{"key": "x"}')


class NotJson:
    pass


class Odd(msgspec.Struct):
    key: str

    def __post_init__(self) -> None:
        raise KeyError(self.key)


class HoldsNotJson(msgspec.Struct):
    inner: NotJson


class MayDoWithout(msgspec.Struct):
    name: str
    inner: NotJson | None = None


class Tree(msgspec.Struct):
    children: list[Tree] = []
    value: int = 0


class Broken(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, defer_build=True)
    inner: NowhereDefined  # type: ignore[name-defined]  # noqa: F821 - that is the mistake


@pytest.mark.parametrize(
    "payload_type",
    [NotJson, list[NotJson], HoldsNotJson, dict[str, HoldsNotJson], complex, type, Line | Broken, Broken],
    ids=str,
)
def test_a_type_that_no_json_becomes_is_refused_at_registration(payload_type: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        handler_of(payload_type)
    assert "the processor of 't' takes" in str(raised.value)
    assert "cannot come from JSON" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_field_that_may_be_left_out_may_be_of_any_type() -> None:
    assert decode(MayDoWithout, b'{"name": "x"}').name == "x"


def test_a_type_that_holds_itself_is_fine() -> None:
    assert decode(Tree, b'{"children": [{"value": 2}]}').children[0].value == 2


def test_a_model_that_cannot_be_written_is_an_encode_error() -> None:
    class Wild(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        inner: NotJson

    with pytest.raises(PayloadEncodeError, match="Wild cannot be JSON"):
        encode_payload(Wild(inner=NotJson()))
    with pytest.raises(PayloadEncodeError, match=r"test_payload_types\.NotJson cannot be JSON"):
        encode_payload(NotJson())


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
orders = st.builds(
    Order,
    st.lists(
        st.builds(Item, texts, st.decimals(allow_nan=False, allow_infinity=False, places=2)), max_size=4
    ),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)
invoices = st.builds(
    lambda number, lines, due: Invoice(invoiceNumber=number, lines=lines, due=due),
    texts,
    st.lists(st.builds(Line, quantity=st.integers(-(2**62), 2**62)), max_size=4),
    st.none() | st.dates(),
)
parcels = st.builds(Parcel, st.integers(1, 2**62), texts)


@cache
def cached_handler_of(payload_type: Any) -> Any:
    return handler_of(payload_type)


@given(payload=orders | invoices | parcels)
def test_any_payload_comes_back_as_it_was_enqueued(payload: Any) -> None:
    processor = cached_handler_of(type(payload))
    assert processor.make_argument(row(encode_payload(payload)))[1] == payload
