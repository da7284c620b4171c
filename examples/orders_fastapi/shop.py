"""The shop without its web pages: its table, and the handler that confirms an order.

goque supervise shop:registry
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import DateTime, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import goque

URL: Final = os.environ.get("GOQUE_DATABASE_URL") or "postgresql://postgres@localhost/shop"
OUTBOX: Final = Path(os.environ.get("SHOP_OUTBOX", "out")).resolve()

engine = create_engine(URL.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
"""Connects when it is first used, in each process for itself: a connection must not cross a fork."""

registry = goque.Registry(database_url=URL)


class Base(DeclarativeBase):
    """The shop's own tables; goque's are made by `goque migrate`."""


class Order(Base):
    """An order; its task confirms it."""

    __tablename__ = "orders"

    number: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    item: Mapped[str] = mapped_column(Text)
    task_id: Mapped[str | None] = mapped_column(Text)
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Confirmation(msgspec.Struct):
    """The payload: which order. What else is needed is read when the task runs."""

    order: int


def place_order(session: Session, email: str, item: str) -> Order:
    """Insert an order and the task to confirm it; both are there when the caller commits, or neither is."""
    order = Order(email=email, item=item)
    session.add(order)
    session.flush()  # gives it its number
    task = confirm_order.enqueue(
        Confirmation(order.number), external_id=f"order-{order.number}", conn=session
    )
    order.task_id = task.id
    return order


@registry.processor("confirm_order", timeout=30, max_attempts=4, retry=goque.retry.exponential(1, 60, 0.1))
def confirm_order(confirmation: Confirmation) -> None:
    """Send the confirmation of an order, once: a task may run again after a crash."""
    with Session(engine) as session, session.begin():
        order = session.get(Order, confirmation.order, with_for_update=True)
        if order is None:
            raise goque.TaskCanceled(f"there is no order {confirmation.order}")
        if order.confirmed_at is None:
            deliver(order)
            order.confirmed_at = datetime.now(UTC)


def deliver(order: Order) -> None:
    """Write the letter into a directory, under the order's number; a mail server would be asked here."""
    OUTBOX.mkdir(parents=True, exist_ok=True)
    letter = (
        f"To: {order.email}\nSubject: your order {order.number}\n\nThank you for ordering {order.item}.\n"
    )
    (OUTBOX / f"order-{order.number}.txt").write_text(letter, "utf-8")
