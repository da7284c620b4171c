"""scripts/bench measures and reports; how fast things are is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench.d"


def test_it_reports_machine_figures_and_ratios_as_json(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--quick", "--only", "enqueue_one", "replace", "--json", "-"]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path)], capture_output=True, text=True, timeout=100, check=True
    )
    report = json.loads(done.stdout)
    assert report["machine"]["cpus"] >= 1
    assert set(report["figures"]) == {"sqlite.enqueue_one", "sqlite.replace"}
    assert set(report["ratios"]) == {"sqlite.enqueue_one"}
    assert report["figures"]["sqlite.replace"]["unit"] == "ms"
    assert "THE FLOOR IS" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--only", "nonsense"], ["--slow"]])
def test_a_wrong_option_is_refused(option: list[str]) -> None:
    done = subprocess.run([sys.executable, str(BENCH), *option], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
