"""goque's migration 0005_limits."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("goque", "0004_unique_keys")]
    operations: ClassVar[list[Any]] = [ApplyMigration("0005_limits")]
