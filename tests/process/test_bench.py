"""scripts/bench measures and reports; how fast things are is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import goque

BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench.d"

on_one_run = pytest.mark.xdist_group("bench")  # the quick run is made once


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A quick run of two workloads on SQLite, one that has a floor and one that has none."""
    directory = tmp_path_factory.mktemp("bench")
    options = ["--backend", "sqlite", "--only", "enqueue_one", "replace", "--directory", str(directory)]
    done = bench("--quick", *options, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert not list(directory.iterdir()), "a workload left its files behind"
    return done


@on_one_run
def test_it_reports_machine_figures_and_ratios_as_json(measured: subprocess.CompletedProcess[str]) -> None:
    report: dict[str, Any] = json.loads(measured.stdout)
    assert report["machine"]["cpus"] >= 1
    assert set(report["figures"]) == {"sqlite.enqueue_one", "sqlite.replace"}
    assert set(report["ratios"]) == {"sqlite.enqueue_one"}
    assert report["figures"]["sqlite.replace"]["unit"] == "ms"
    assert "THE FLOOR IS" in measured.stderr
    assert set(report["methods"]) == {"goque", "enqueue_one", "replace"}
    assert all(method in measured.stderr for method in report["methods"].values())


@on_one_run
def test_it_says_how_ratios_changed_since_an_earlier_run(
    tmp_path: Path, measured: subprocess.CompletedProcess[str]
) -> None:
    earlier = json.loads(measured.stdout)
    earlier["ratios"]["sqlite.enqueue_one"] = 100.0
    (tmp_path / "baseline.json").write_text(json.dumps(earlier))
    options = ["--quick", "--backend", "sqlite", "--only", "enqueue_one"]
    done = bench(*options, "--baseline", str(tmp_path / "baseline.json"))
    (line,) = [line for line in done.stdout.splitlines() if "100.00" in line]
    assert line.split()[0] == "sqlite.enqueue_one"
    assert line.endswith("%")


def test_flows_are_measured_beside_as_many_tasks_without_needs(tmp_path: Path) -> None:
    options = ["--backend", "sqlite", "--only", "flows", "--directory", str(tmp_path)]
    done = bench("--quick", *options, "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rates = {
        f"sqlite.flows_{what}" for what in ("enqueue", "chain", "chain_of_follow_ups", "diamonds", "fan")
    }
    assert set(report["ratios"]) == rates
    assert report["figures"]["sqlite.flows_fan_join_starts"]["min"] > 0, "a join started before its last part"


def test_every_database_that_can_be_reached_is_measured_in_turn() -> None:
    sys.path.insert(0, str(BENCH.parent))
    import services

    done = bench("--quick", "--only", "enqueue_bulk", "--json", "-")
    assert done.returncode == 0, done.stderr
    names = ["sqlite", *services.reachable()]
    assert set(json.loads(done.stdout)["ratios"]) == {f"{name}.enqueue_bulk" for name in names}


def test_a_workload_has_a_database_to_itself_that_is_gone_afterwards(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, backends\n"
        "for backend in backends.available(None):\n"
        "    with backend.fresh(pathlib.Path(sys.argv[1])) as database:\n"
        "        database.insert_one(('00000000-0000-7000-8000-000000000000', 'only'))\n"
        "        assert not database.is_drained()\n"
        "        print(database.url)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=True)
    assert list(tmp_path.iterdir()) == []
    for url in done.stdout.split()[1:]:
        with pytest.raises(goque.DatabaseUnavailableError, match="has no database"):
            goque.open_storage(url).ping()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--only", "nonsense"], 2),
        (["--slow"], 2),
        (["--backend", "oracle"], 2),
        (["--baseline", "no-such-file.json"], 1),
        (["--backend", "sqlite", "--peers", "no-such-python"], 1),
    ],
)
def test_a_wrong_option_is_refused(options: list[str], code: int) -> None:
    done = bench(*options)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
