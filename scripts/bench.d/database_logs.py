"""What a database writes into its log: bytes, pages, and on PostgreSQL the entries of indexes too."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Final

from database import Backend, Database

PATIENCE: Final = 60.0
"""Seconds to wait for a server to remove what a change has left behind."""


class DatabaseLog(ABC):
    """The log of a database. `begin` and `end` stand around one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @abstractmethod
    def begin(self) -> None:
        """Count from here."""

    @abstractmethod
    def end(self) -> Counter[str]:
        """Return what was written since `begin`.

        `bytes` are those of the log without images of whole pages. `pages` are the pages that were changed. `entries`
        were added to indexes, and `same-page rows` are new versions of rows that stayed on their page. A database that
        does not tell one of these leaves it out.
        """


class SqliteLog(DatabaseLog):
    """The write-ahead log as a file, which is emptied before each transaction."""

    HEADER: Final = 32
    FRAME: Final = 24 + 4096

    def begin(self) -> None:
        """Empty the log."""
        self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def end(self) -> Counter[str]:
        """Return the size of the log."""
        ((_, _, name), *_) = self._database.rows("PRAGMA database_list")
        size = Path(f"{name}-wal").stat().st_size
        return Counter({"bytes": size, "pages": max(0, size - self.HEADER) // self.FRAME})


class PostgresqlLog(DatabaseLog):
    """The records of the write-ahead log about this database, as the extension pg_walinspect reads them."""

    RECORDS: Final = """
        SELECT CAST(xid AS text), resource_manager || '/' || record_type, record_length - fpi_length,
               coalesce(block_ref, '')
        FROM pg_get_wal_records_info(%s, pg_current_wal_flush_lsn())"""
    BLOCK: Final = re.compile(r"rel \d+/(\d+)/(\d+)(?: fork \w+)? blk (\d+)")
    ENTRY: Final = re.compile(r"Btree/(INSERT_LEAF|INSERT_POST|SPLIT_)")

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        database.rows("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        ((oid,),) = database.rows("SELECT oid FROM pg_database WHERE datname = current_database()")
        self._oid = str(oid)

    def begin(self) -> None:
        """Keep the place in the log."""
        ((self._from,),) = self._database.rows("SELECT CAST(pg_current_wal_insert_lsn() AS text)")

    def end(self) -> Counter[str]:
        """Read the records since then; those of other databases are left out."""
        records = [
            (xid, kind, length, self._blocks(text))
            for xid, kind, length, text in self._database.rows(self.RECORDS, (self._from,))
        ]
        ours = {xid for xid, _, _, blocks in records if xid != "0" and blocks}
        written: Counter[str] = Counter({"same-page rows": 0})
        pages: set[tuple[str, str]] = set()
        for xid, kind, length, blocks in records:
            if blocks or xid in ours:
                written["bytes"] += length
                pages.update(blocks)
                written["entries"] += self.ENTRY.match(kind) is not None
                written["same-page rows"] += kind in ("Heap/UPDATE", "Heap/HOT_UPDATE") and len(blocks) == 1
        written["pages"] = len(pages)
        return written

    def _blocks(self, text: str) -> list[tuple[str, str]]:
        return [(node, block) for oid, node, block in self.BLOCK.findall(text) if oid == self._oid]


class MysqlLog(DatabaseLog):
    """The place in the redo log of the whole server, which must have no other work meanwhile."""

    PLACES: Final = ("Innodb_lsn_current", "Innodb_redo_log_current_lsn")

    def begin(self) -> None:
        """Keep the place in the log."""
        self._from = self._place()

    def end(self) -> Counter[str]:
        """Wait until the server has removed old versions, and return how far the place has moved."""
        until = time.monotonic() + PATIENCE
        while self._status("Innodb_history_list_length") > 0 and time.monotonic() < until:
            time.sleep(0.005)
        return Counter({"bytes": self._place() - self._from})

    def _place(self) -> int:
        return max(map(self._status, self.PLACES))

    def _status(self, name: str) -> int:
        rows = self._database.rows("SHOW GLOBAL STATUS LIKE %s", (name,))
        return int(rows[0][1]) if rows else 0


def log_of(backend: Backend, database: Database) -> DatabaseLog:
    """Return the log of a database."""
    kinds = {"sqlite": SqliteLog, "postgresql": PostgresqlLog, "mysql": MysqlLog}
    return kinds[backend.name](database)
