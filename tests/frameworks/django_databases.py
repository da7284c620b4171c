"""Databases of a test's own on the shared servers, as Django's DATABASES have them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

from goque.storage.mysql.url import connection_options


def values_of(url: str, name: str | None = None) -> dict[str, Any]:
    """Return the values for the database of a URL, or for another one on its server."""
    parts = urlsplit(url)
    return {
        "ENGINE": f"django.db.backends.{parts.scheme}",
        "NAME": name or parts.path[1:],
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
    }


def server_of(name: str) -> Iterator[str]:
    """Make a database of the test's own on a server, and say it as Django's settings do."""
    own = f"goque_django_{uuid.uuid4().hex}"
    if name == "postgresql":
        url = os.environ.get("GOQUE_TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/test"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {own}")
            yield repr(values_of(url, own))
            for made in (own, f"test_{own}"):  # the other is what `manage.py test` makes, and may leave
                admin.execute(f"DROP DATABASE IF EXISTS {made} WITH (FORCE)")
        return
    url = os.environ.get("GOQUE_TEST_MYSQL_URL") or "mysql://root@127.0.0.1:3306/test"
    with pymysql.connect(**connection_options(url), autocommit=True) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {own}")
        yield repr(values_of(url, own))
        for made in (own, f"test_{own}"):
            cursor.execute(f"DROP DATABASE IF EXISTS {made}")
