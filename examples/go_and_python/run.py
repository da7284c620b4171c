"""Lets a Go service and a Python service share a table, on PostgreSQL.

1. the Go service has made the table; `goque migrate` adds our columns after its own;
2. the Go service asks for three invoices, and takes one back;
3. `goque supervise` makes the invoices, and enqueues a text message for each;
4. the Go service sends the text messages: it finds rows that look like its own.

The database is GOQUE_DATABASE_URL. The tasks of the example's two types are deleted from it at the start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import go_rows
import psycopg
from app import Order

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = (sys.executable, "-m", "goque.cli")


def main() -> int:
    """Run the example; returns 0 if each service ran what it was asked for."""
    url = os.environ.get("GOQUE_DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("set GOQUE_DATABASE_URL to a PostgreSQL database, such as postgresql://user@localhost/shop")
    with psycopg.connect(url, autocommit=True) as go_service, goque.TaskQueueManager(url) as queue:
        go_rows.migrate(go_service)
        go_service.execute("DELETE FROM goque_task WHERE type IN ('make_invoice', 'send_sms')")
        subprocess.run([*GOQUE, "migrate"], check=True)
        ask_for_invoices(go_service)
        drain = [*GOQUE, "supervise", "app:registry", "--drain", "--log-level", "warning"]
        subprocess.run(drain, cwd=HERE, check=True)
        invoices = queue.get_tasks(goque.TaskFilter(task_type="make_invoice"))
        for invoice in sorted(invoices, key=lambda task: task.external_id):
            print(f"make_invoice {invoice.external_id}: {invoice.status}, {invoice.result}")
        sent = go_rows.run_due(go_service, "send_sms")
        messages = queue.get_tasks(goque.TaskFilter(task_type="send_sms"))
    return verdict(invoices, sent, messages)


def ask_for_invoices(go_service: psycopg.Connection[Any]) -> None:
    """Do what the Go service does for three orders, the last of which is taken back."""
    ids = [
        go_rows.add_task(go_service, "make_invoice", Order(number, "+420 123", 1250), f"order-{number}")
        for number in (7, 8, 9)
    ]
    go_rows.cancel_task(go_service, ids[-1])


def verdict(invoices: list[goque.Task], sent: list[Any], messages: list[goque.Task]) -> int:
    """Compare what there is with what there should be."""
    for message in sent:
        print(f"send_sms, by the Go service, to {message['to']}: {message['text']}")
    statuses = sorted(task.status for task in invoices)
    good = statuses == ["canceled", "done", "done"] and len(sent) == 2
    good = good and [task.status for task in messages] == ["done", "done"]
    print("As it should be: each ran its own types." if good else "NOT as it should be.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
