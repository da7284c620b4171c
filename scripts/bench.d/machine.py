"""Describe the machine and the software on which the figures depend."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from database import Backend

from goque.storage.mysql.url import connection_options


def machine(backends: list[Backend]) -> dict[str, Any]:
    """Return the description, with the load average before the first workload."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **{backend.name: _version(backend) for backend in backends},
        "load": round(os.getloadavg()[0], 2),
    }


def _version(backend: Backend) -> str:
    if backend.name == "postgresql":
        with psycopg.connect(backend.where or "") as connection:
            return connection.info.parameter_status("server_version") or "unknown"
    if backend.name == "mysql":
        with closing(pymysql.connect(**connection_options(backend.where or ""))) as server:
            return str(server.get_server_info())
    return sqlite3.sqlite_version


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or sys.platform
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
