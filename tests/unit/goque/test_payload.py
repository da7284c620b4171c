from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec
import pydantic
import pytest

from goque.errors import (
    ConfigurationError,
    InvalidPayloadFormatError,
    PayloadDecodeError,
    PayloadEncodeError,
)
from goque.payload import decode_json, encode_payload, max_payload

pytestmark = pytest.mark.fault(35)


def nested(depth: int, *, inner: object = 0) -> object:
    value = inner
    for _ in range(depth):
        value = [value]
    return value


class Email(msgspec.Struct):
    to: str


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (Email("a@b.c"), b'{"to":"a@b.c"}'),
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        (None, b"null"),
        ("🎉 \"quotes\" 'and' \\", '"🎉 \\"quotes\\" \'and\' \\\\"'.encode()),
        (msgspec.Raw(b'{"as": "given"}'), b'{"as": "given"}'),
        (b"bytes", b'"Ynl0ZXM="'),
    ],
)
def test_what_msgspec_encodes_goes_in(payload, text):
    assert encode_payload(payload) == text


class Unfriendly:
    pass


def circular() -> list[object]:
    made: list[object] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    "payload", [Unfriendly(), {1j: 2}, circular(), "\ud800", {"a": "\udfff"}, nested(5000)]
)
def test_what_cannot_be_json_is_refused(payload):
    with pytest.raises((PayloadEncodeError, InvalidPayloadFormatError)) as refusal:
        encode_payload(payload)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"",
        b"{",
        b"{}{}",
        b"\xff",
        b'"\xff"',
        b"NaN",
        b"1e400",
        b'{"a":1,}',
        b"[" * 100_000,
        b'"\\ud800"',
    ],
)
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(InvalidPayloadFormatError) as refusal:
        encode_payload(msgspec.Raw(text))
    assert "\n" not in str(refusal.value)


def test_thirty_levels_are_the_limit():
    assert encode_payload(nested(30))
    with pytest.raises(InvalidPayloadFormatError, match="deeper than 30"):
        encode_payload(nested(31))
    with pytest.raises(InvalidPayloadFormatError, match="deeper than 30"):
        encode_payload(msgspec.Raw(b'{"a":' * 31 + b"1" + b"}" * 31))


def test_wide_payloads_are_not_deep():
    assert encode_payload([{"a": []} for _ in range(1000)])
    assert encode_payload("[" * 1000)


def test_a_nul_is_refused_and_what_only_looks_like_one_is_not():
    for payload in ("\0", {"a\0": 1}, "\\\0"):
        with pytest.raises(InvalidPayloadFormatError, match="NUL"):
            encode_payload(payload)
    for payload in ("\\u0000", "\\\\u0000", "u0000"):
        assert decode_json(encode_payload(payload)) == payload


def test_a_payload_of_a_mebibyte_is_the_limit(monkeypatch):
    monkeypatch.delenv("GOQUE_MAX_PAYLOAD", raising=False)
    assert len(encode_payload("x" * (1024 * 1024 - 2))) == 1024 * 1024
    with pytest.raises(InvalidPayloadFormatError, match="max_payload 1048576"):
        encode_payload("x" * (1024 * 1024 - 1))


def test_the_environment_sets_the_limit(monkeypatch):
    monkeypatch.setenv("GOQUE_MAX_PAYLOAD", "10")
    assert max_payload() == 10
    with pytest.raises(InvalidPayloadFormatError, match="more than max_payload 10"):
        encode_payload("x" * 9)
    for text in ("0", "-1", "1MB", "99999999999", "²"):
        monkeypatch.setenv("GOQUE_MAX_PAYLOAD", text)
        with pytest.raises(ConfigurationError, match="GOQUE_MAX_PAYLOAD"):
            max_payload()


@pytest.mark.parametrize("text", [b"not json", b"\xff", b"[" * 100_000, b""])
def test_what_is_no_json_in_a_database_is_a_decode_error(text):
    with pytest.raises(PayloadDecodeError):
        decode_json(text)


class Model(pydantic.BaseModel):
    price: float


class Point(msgspec.Struct):
    x: float
    labels: list


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (math.nan, "payload is nan, which JSON cannot represent"),
        ({"rows": [1.5, None, {"price": math.inf}]}, "payload.rows[2].price is inf"),
        (Point(1.0, [None, -math.inf]), "payload.labels[1] is -inf"),
        ((0.5, (math.nan,)), "payload[1][0] is nan"),
        ([msgspec.Raw(b"null"), math.nan], "payload[1] is nan"),
        ({"sold": [Model(price=math.inf)]}, "payload.sold[0].price is inf"),
    ],
)
def test_a_number_that_json_does_not_know_is_refused_and_found(payload, told):
    with pytest.raises(InvalidPayloadFormatError) as refusal:
        encode_payload(payload)
    assert str(refusal.value).startswith(told)
    assert "\n" not in str(refusal.value)


def test_nulls_are_no_numbers():
    for payload in (None, {"null": 1.5}, [msgspec.Raw(b"null")], Point(0.0, [None]), "null"):
        assert b"null" in encode_payload(payload)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"x": [1, msgspec.Raw(b"nope")]}, "payload.x[1]"),
        ([msgspec.Raw(b"1"), {"y": msgspec.Raw(b"NaN")}], "payload[1].y"),
        (msgspec.Raw(b"nope"), "payload"),
        ({"a": msgspec.Raw(b'1,"b":2')}, "payload.a"),
        ({"c": None, "a": [msgspec.Raw(b"1,2")]}, "payload.a[0]"),
        ([msgspec.Raw(b"")], "payload[0]"),
        ([msgspec.Raw(b'"a'), msgspec.Raw(b'b"')], "payload[0]"),
        ({"a": msgspec.Raw(b"[1"), "b": msgspec.Raw(b"2]")}, "payload.a"),
        ([0, msgspec.Raw(b"1],[2")], "payload[1]"),
        (Point(1.0, [msgspec.Raw(b'1],"x":[2')]), "payload.labels[0]"),
    ],
)
def test_text_that_is_not_json_is_named_by_its_path(payload: object, path: str) -> None:
    with pytest.raises(InvalidPayloadFormatError, match=rf"^{re.escape(path)} is not JSON: "):
        encode_payload(payload)


@pytest.mark.parametrize(
    "number",
    [
        b"1e-16384",
        b"1e-99999",
        b"-1.5E-99999",
        b"0e-16384",
        b"0.%s1" % (b"0" * 20000),
        b"1.0e-16383",
        b"1e-99999999999999999999",
        b"1e-" + b"0" * 5000 + b"1",
        b"0e2000000000",
        b"0E+309",
    ],
)
def test_a_number_with_too_many_digits_is_refused_and_found(number: bytes) -> None:
    for payload, path in (
        (msgspec.Raw(number), "payload"),
        ({"a": [1.5, msgspec.Raw(number)]}, "payload.a[1]"),
        (msgspec.Raw(b'{"e000": 1e-7, "a": {"b": %s}}' % number), "payload.a.b"),
        ([msgspec.Raw(b'{"a": [%s]}' % number)], "payload[0].a[0]"),
    ):
        with pytest.raises(InvalidPayloadFormatError, match=rf"^{re.escape(path)} is a number that "):
            encode_payload(payload)


@pytest.mark.parametrize(
    "text",
    [
        b"1e-16383",
        b"0.%s1" % (b"0" * 16382),
        b"1.0e-16382",
        b"1%s.5e-4000" % (b"0" * 4000),
        b"1e308",
        b"-0E5",
        b"0.%s1e10000" % (b"0" * 20000),
        b'"1e-99999"',
        b'{"1e-99999": "0e2000000000"}',
        b"1e-00007",
        b'"%s"' % (b"1" * 40000),
    ],
)
def test_a_number_that_postgresql_can_hold_and_a_text_like_one_go_in(text: bytes) -> None:
    assert encode_payload(msgspec.Raw(text)) == text
    assert encode_payload({"a": msgspec.Raw(text)}) == b'{"a":%s}' % text


def test_numbers_in_the_text_of_a_models_own_encoder_are_checked() -> None:
    class Own:
        def model_dump_json(self, **_: object) -> str:
            return '{"x": 1e-99999}'

    for payload, path in ((Own(), "payload.x"), ([Own()], "payload[0].x")):
        with pytest.raises(InvalidPayloadFormatError, match=rf"^{re.escape(path)} is a number"):
            encode_payload(payload)


def test_the_text_of_a_model_is_one_value_too() -> None:
    class Own:
        def model_dump_json(self, **_: object) -> str:
            return '1,"b":2'

    for payload, path in ((Own(), "payload"), ({"a": Own()}, "payload.a")):
        with pytest.raises(InvalidPayloadFormatError, match=rf"^{re.escape(path)} is not JSON: "):
            encode_payload(payload)


def test_a_raw_that_is_one_value_goes_in_with_its_white_space() -> None:
    assert encode_payload({"a": msgspec.Raw(b' {"b": 2} ')}) == b'{"a": {"b": 2} }'


def test_a_raw_in_a_result_is_one_value() -> None:
    with pytest.raises(InvalidPayloadFormatError, match=r"^result\.a is not JSON: "):
        encode_payload({"a": msgspec.Raw(b'1,"b":2')}, what="result", limit=1000)


class Half(float):
    """Like the floats of numpy, a class that is no float for msgspec."""


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (Half(1), r"^payload of type .*test_payload\.Half cannot be JSON"),
        ({"a": [1, {"b": Half(1)}]}, r"^payload\.a\[1\]\.b of type .*Half cannot be JSON"),
        (
            {"n": math.nan, "z": [Fraction(1, 2)]},
            r"^payload\.z\[0\] of type fractions\.Fraction cannot be JSON",
        ),
        ([object()], r"^payload\[0\] of type object cannot be JSON"),
        ({(1, 2): 3}, "^payload of type dict cannot be JSON: "),
    ],
)
def test_what_cannot_be_json_is_named_by_its_path_and_type(payload, told):
    with pytest.raises(PayloadEncodeError, match=told) as refusal:
        encode_payload(payload)
    assert "\n" not in str(refusal.value)


def test_values_that_have_a_form_in_json_are_encoded():
    assert encode_payload(Decimal("1.50")) == b'"1.50"'
    assert encode_payload(UUID(int=7)) == b'"00000000-0000-0000-0000-000000000007"'
    assert encode_payload([datetime(2026, 11, 23, tzinfo=UTC), timedelta(seconds=90)]) == (
        b'["2026-11-23T00:00:00Z","PT90S"]'
    )
