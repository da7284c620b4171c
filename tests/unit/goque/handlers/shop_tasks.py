"""A module of an app: its handlers are found by its name, in this process and in others."""

from __future__ import annotations

import msgspec

import goque

registry = goque.Registry()


class Email(msgspec.Struct):
    to: str


@registry.processor("send_email")
def send_email(email: Email) -> str:
    return email.to


@registry.processor("fetch")
async def fetch(email: Email) -> str:
    return email.to
