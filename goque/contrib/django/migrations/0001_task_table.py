"""goque's migration 0001_task_table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Any]] = [ApplyMigration("0001_task_table")]
