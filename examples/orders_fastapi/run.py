"""Runs the shop on PostgreSQL, orders something, and lets a transaction fail.

1. `goque migrate`, then `goque supervise shop:registry` and `uvicorn web:app`;
2. place an order over HTTP, and follow it until it is confirmed;
3. place one in a transaction that is rolled back: neither order nor task is left;
4. stop both.

The database is GOQUE_DATABASE_URL.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from shop import OUTBOX, Order, engine, place_order, registry
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = ("-m", "goque.cli")
PATIENCE: Final = 30.0  # seconds


def main() -> int:
    """Run the example; returns 0 if the order was confirmed, and nothing is left of the one that failed."""
    if not os.environ.get("GOQUE_DATABASE_URL", "").startswith("postgresql://"):
        sys.exit("set GOQUE_DATABASE_URL to a PostgreSQL database, such as postgresql://user@localhost/shop")
    subprocess.run([sys.executable, *GOQUE, "migrate"], check=True)
    port = free_port()
    with ExitStack() as stack:
        web = ("uvicorn", "web:app", "--port", str(port), "--log-level", "warning")
        stack.enter_context(running("-m", *web))
        stack.enter_context(running(*GOQUE, "supervise", "shop:registry", "--log-level", "warning"))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for(client)
            confirmed = order_and_follow(client)
            refused = client.post("/orders", json={"email": "nobody", "item": "a book"}).status_code
    left = order_that_fails()
    print(f"an order without an address: {refused}; a transaction that failed left {left}")
    good = confirmed["status"] == "done" and refused == 422 and left == (0, 0)
    print("As it should be." if good else "NOT as it should be.")
    return 0 if good else 1


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """Run a program for the length of a block."""
    program = subprocess.Popen([sys.executable, *arguments], cwd=HERE)
    try:
        yield
    finally:
        program.terminate()
        program.wait()


def wait_for(client: httpx.Client) -> None:
    """Wait until the pages are served."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.get("/").raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def order_and_follow(client: httpx.Client) -> dict[str, Any]:
    """Do what the page does: order, then ask until the task has ended."""
    placed = (
        client.post("/orders", json={"email": "ada@example.com", "item": "a book"}).raise_for_status().json()
    )
    print("placed", placed)
    deadline = time.monotonic() + PATIENCE
    while True:
        order: dict[str, Any] = client.get(f"/orders/{placed['number']}", params={"wait": 20}).json()
        if goque.TaskStatus(order["status"]).is_terminal or time.monotonic() > deadline:
            print("followed", order)
            print((OUTBOX / f"order-{order['number']}.txt").read_text("utf-8"))
            return order


def order_that_fails() -> tuple[int, int]:
    """Place an order, fail before the commit, and count what is left of order and task."""
    with Session(engine) as session:
        order = place_order(session, "bob@example.com", "a record")
        number, task_id = order.number, order.task_id
        session.rollback()
        orders = session.scalar(select(func.count()).where(Order.number == number)) or 0
    with registry.queue as queue:
        tasks = queue.get_tasks(goque.TaskFilter(ids=[str(task_id)]))
    return orders, len(tasks)


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
