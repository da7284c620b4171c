"""The Python service: it makes the invoices that the Go service asks for, and asks that one for text messages.

goque supervise app:registry
"""

from __future__ import annotations

import contextlib

import msgspec

import goque

registry = goque.Registry()


class Order(msgspec.Struct):
    """The payload of `make_invoice`, as the Go service writes it."""

    number: int
    phone: str
    cents: int


class TextMessage(msgspec.Struct):
    """The payload of `send_sms`, as the Go service reads it."""

    to: str
    text: str


send_sms = registry.declare("send_sms", payload=TextMessage)
"""The Go service runs it."""


@registry.processor("make_invoice", max_attempts=3, store_result=True)
def make_invoice(order: Order) -> str:
    """Make an invoice, and ask the Go service to tell the customer."""
    invoice = f"invoice {order.number}: {order.cents / 100:.2f}"
    message = TextMessage(order.phone, invoice)
    with contextlib.suppress(goque.DuplicateTaskError):  # an earlier attempt may have asked for it already
        send_sms.enqueue(message, external_id=f"order-{order.number}")
    return invoice
