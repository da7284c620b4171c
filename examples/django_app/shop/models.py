"""The shop's own table."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order; its task sends the receipt."""

    email = models.EmailField()
    item = models.TextField()
    receipt = models.TextField(default="")

    def __str__(self) -> str:
        """Name it as its receipt does."""
        return f"order {self.pk}"
