"""The limits of the app's types, which its ledger checks without goque."""

from __future__ import annotations

from typing import Final

import goque

NARROW: Final = 2
"""How many tasks of `narrow` run at once; the workers of both nodes could run twice as many."""

TENANTS: Final = ("red", "green", "blue")
PER_TENANT: Final = 2
"""How many tasks of `keyed` run at once for each tenant."""

PACE: Final = goque.Rate(2, per=1, burst=4)
"""How many tasks of `paced` start in a time."""
