"""goque's migration 0003_paused_jobs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("goque", "0002_owners_and_priorities")]
    operations: ClassVar[list[Any]] = [ApplyMigration("0003_paused_jobs")]
