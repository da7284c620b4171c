"""Named places of statements, as drivers want them."""

from __future__ import annotations

from goque.storage.sql.placeholders import percent_placeholders, positional

SQL = "INSERT INTO t (a, b, c) VALUES (:id, :type, :id) -- 5 % of '2026-11-23 10:00:00'::text"


def test_names_become_places_and_casts_times_and_percent_signs_stay() -> None:
    rest = " -- 5 %% of '2026-11-23 10:00:00'::text"
    assert percent_placeholders(SQL) == f"INSERT INTO t (a, b, c) VALUES (%(id)s, %(type)s, %(id)s){rest}"
    params = [{"id": 1, "type": "a", "more": "not named"}, {"id": 2, "type": "b"}]
    assert positional(SQL, params) == (
        f"INSERT INTO t (a, b, c) VALUES (%s, %s, %s){rest}",
        [(1, "a", 1), (2, "b", 2)],
    )


def test_a_statement_without_places_has_no_names() -> None:
    assert positional("SELECT 1", [{}]) == ("SELECT 1", [()])
