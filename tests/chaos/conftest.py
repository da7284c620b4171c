from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / place) for place in ("scripts/chaos.d", "tests/process", "tests/process/failover")]
