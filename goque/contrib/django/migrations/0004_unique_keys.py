"""goque's migration 0004_unique_keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("goque", "0003_paused_jobs")]
    operations: ClassVar[list[Any]] = [ApplyMigration("0004_unique_keys")]
