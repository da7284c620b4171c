"""Rows that goque's connection reads are those that PyMySQL reads."""

from __future__ import annotations

import struct

import pytest
from pymysql.connections import MySQLResult
from pymysql.protocol import MysqlPacket

from goque.storage.mysql.connection import GoqueConnection, _Result


def packed(value):
    if value is None:
        return b"\xfb"
    length = len(value)
    if length < 251:
        return bytes([length]) + value
    if length < 1 << 16:
        return b"\xfc" + struct.pack("<H", length) + value
    if length < 1 << 24:
        return b"\xfd" + struct.pack("<I", length)[:3] + value
    return b"\xfe" + struct.pack("<Q", length) + value


def read(kind, columns, values):
    result = kind(GoqueConnection(defer_connect=True))
    result.converters = columns
    return result._read_row_from_packet(MysqlPacket(b"".join(map(packed, values)), "utf8"))


TEXT, NUMBER, BYTES = ("utf8", None), ("ascii", int), (None, None)
ROWS = {
    "short": ([TEXT, NUMBER, BYTES], ["Grüße".encode(), b"-42", b"\x00\xff"]),
    "empty": ([TEXT, BYTES], [b"", b""]),
    "NULL": ([TEXT, NUMBER, BYTES, TEXT], [None, None, None, b"last"]),
    "lengths": (
        [TEXT] * 6 + [NUMBER],
        [b"a" * size for size in (250, 251, 252, 65_535, 65_536, 1 << 24)] + [b"7"],
    ),
    "none": ([], []),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_read_as_pymysql_reads_it(name):
    columns, values = ROWS[name]
    row = read(_Result, columns, values)
    assert row == read(MySQLResult, columns, values)
    assert len(row) == len(columns)


def test_text_that_is_no_utf_8_is_refused_as_pymysql_does():
    for kind in (_Result, MySQLResult):
        with pytest.raises(UnicodeDecodeError):
            read(kind, [TEXT], [b"\xff"])
