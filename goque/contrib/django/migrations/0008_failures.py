"""goque's migration 0008_failures."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("goque", "0007_steps")]
    operations: ClassVar[list[Any]] = [ApplyMigration("0008_failures")]
