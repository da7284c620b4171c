"""The caller's own connection, unwrapped from SQLAlchemy or Django without importing either."""

from __future__ import annotations

from typing import Any


def driver_connection(conn: Any) -> Any:
    """Return the driver's connection inside of what the caller has.

    A SQLAlchemy connection that has not begun yet is made to, as it would by its next statement: else its
    `commit()` would not know that there is something to commit.
    """
    if callable(getattr(conn, "connection", None)) and callable(getattr(conn, "get_bind", None)):
        conn = conn.connection()  # a SQLAlchemy Session lends its Connection
    if callable(getattr(conn, "in_transaction", None)) and callable(getattr(conn, "exec_driver_sql", None)):
        if not conn.in_transaction():
            conn.begin()
        conn = conn.connection  # a SQLAlchemy Connection holds a pooled one
    if callable(getattr(conn, "ensure_connection", None)):
        conn.ensure_connection()  # Django's wrapper connects when it is first used
        conn = conn.connection
    return getattr(conn, "driver_connection", None) or getattr(conn, "dbapi_connection", None) or conn
