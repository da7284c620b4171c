"""goque's migration 0013_claim_room, which MySQL and MariaDB alone have."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from goque.contrib.django.operations import ApplyMigration


class Migration(migrations.Migration):
    """Applies it."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("goque", "0010_stacks")]
    operations: ClassVar[list[Any]] = [ApplyMigration("0013_claim_room")]
