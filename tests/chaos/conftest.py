from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts" / "chaos.d"), str(ROOT / "tests" / "process")]
pytest.register_assert_rewrite("databases", "tree")  # this suite may be the first to import them
