"""Runs the Django shop: migrate, order, let an order fail, and send the receipts.

1. `manage.py migrate` makes the shop's table and goque's;
2. two orders are placed through the view, and one in a transaction that fails;
3. `manage.py goque supervise --drain` sends the receipts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.conf import settings  # noqa: E402 - Django wants to be set up first
from django.db import transaction  # noqa: E402 - the same
from django.test import Client  # noqa: E402 - the same
from shop.models import Order  # noqa: E402 - the same
from shop.views import place_order  # noqa: E402 - the same

from goque.contrib.django import queue  # noqa: E402 - the same

HERE = Path(__file__).resolve().parent
MANAGE = (sys.executable, str(HERE / "manage.py"))


def main() -> int:
    """Run the example; returns 0 if both receipts were sent, and nothing is left of the order that failed."""
    for leftover in settings.DIRECTORY.glob("shop.db*"):
        leftover.unlink()
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], check=True)
    numbers = [
        Client().post("/orders", {"email": "ada@example.com", "item": item}).json()["number"]
        for item in ("a book", "a record")
    ]
    try:
        order_whose_payment_fails()
    except ConnectionError as error:
        print(f"one order was rolled back: {error}")
    print("orders and tasks:", Order.objects.count(), len(queue.get_tasks()))
    subprocess.run([*MANAGE, "goque", "supervise", "--drain", "--log-level", "warning"], check=True)
    orders = Client().get("/orders").json()["orders"]
    print(orders)
    good = {order["id"]: order["receipt"] for order in orders} == {n: f"receipt {n}" for n in numbers}
    print("As it should be." if good else "NOT as it should be.")
    return 0 if good else 1


@transaction.atomic
def order_whose_payment_fails() -> None:
    """Place an order, and fail before the transaction is committed."""
    place_order("bob@example.com", "a lamp")
    raise ConnectionError("the payment failed")


if __name__ == "__main__":
    sys.exit(main())
