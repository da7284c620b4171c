"""The handlers. goque.contrib.django imports the module `tasks` of every app, as Django does with `models`."""

from __future__ import annotations

from goque import TaskCanceled
from goque.contrib.django import registry
from shop.models import Order


@registry.processor("send_receipt", timeout=30)
def send_receipt(number: int) -> None:
    """Send the receipt of an order, once: a task may run again after a crash."""
    changed = Order.objects.filter(pk=number, receipt="").update(receipt=f"receipt {number}")
    if not changed and not Order.objects.filter(pk=number).exists():
        raise TaskCanceled(f"there is no order {number}")
