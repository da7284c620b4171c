"""A database for the programs of a page, in place of the one that they name."""

from __future__ import annotations

import os
import re
import sqlite3
import uuid
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

import psycopg
import pymysql

from goque.storage import open_storage
from goque.storage.mysql.url import connection_options


class Shop(ABC):
    """A database with the table `orders` and goque's tables."""

    url: str

    def __init__(self) -> None:
        self.execute("CREATE TABLE orders (number INTEGER)")
        self.storage = open_storage(self.url)
        self.storage.migrate()

    @abstractmethod
    def execute(self, sql: str) -> int:
        """Run a statement of the application's, and return the first number of its answer."""

    @abstractmethod
    def moved_here(self, program: str) -> str:
        """Return a program with this database for the one that it names."""

    def drop(self) -> None:
        """Leave nothing behind."""
        self.storage.close()


class SqliteShop(Shop):
    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/shop.db"
        self._path = folder / "shop.db"
        super().__init__()

    def execute(self, sql: str) -> int:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            row = connection.execute(sql).fetchone()
        return row[0] if row else 0

    def moved_here(self, program: str) -> str:
        return program


class PostgresqlShop(Shop):
    def __init__(self) -> None:
        server = os.environ.get("GOQUE_TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/test"
        self._schema = f"goque_docs_{uuid.uuid4().hex}"
        separator = "&" if "?" in server else "?"
        self.url = f"{server}{separator}options=-csearch_path%3D{self._schema}"
        self.execute(f"CREATE SCHEMA {self._schema}")
        super().__init__()

    def execute(self, sql: str) -> int:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else 0

    def moved_here(self, program: str) -> str:
        driver_url = self.url.replace("postgresql://", "postgresql+psycopg://", 1)
        moved = program.replace("postgresql+psycopg://localhost/shop", driver_url)
        return moved.replace("postgresql://localhost/shop", self.url)

    def drop(self) -> None:
        super().drop()
        self.execute(f"DROP SCHEMA {self._schema} CASCADE")


class MysqlShop(Shop):
    def __init__(self) -> None:
        server = os.environ.get("GOQUE_TEST_MYSQL_URL") or "mysql://root@127.0.0.1:3306/test"
        name = f"goque_docs_{uuid.uuid4().hex}"
        self._name, self._options = name, connection_options(server)
        self.execute(f"CREATE DATABASE {name}")
        self.url = f"{server.rpartition('/')[0]}/{name}"
        self._options["database"] = name
        super().__init__()

    def execute(self, sql: str) -> int:
        connection = pymysql.connect(**self._options, autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return row[0] if row else 0

    def moved_here(self, program: str) -> str:
        moved = program.replace("mysql://shop:secret@localhost/shop", self.url)
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return re.sub(r"pymysql\.connect\(.*?\)", f"pymysql.connect({options})", moved)

    def drop(self) -> None:
        super().drop()
        self.execute(f"DROP DATABASE {self._name}")


def shop_of(program: str, folder: Path) -> Shop:
    """Make a database of the kind that a program is written for."""
    if "postgresql://" in program:
        return PostgresqlShop()
    return MysqlShop() if "mysql://" in program else SqliteShop(folder)
