"""The app's own metrics, over processes that come and go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from goque_supervisor.metrics.user_metrics import UserMetrics


class Processes:
    """Processes that write metrics as prometheus-client does, and die when told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.living: set[int] = set()
        self.metrics = UserMetrics(directory, lambda pid: pid in self.living)

    def write(self, pid: int, kind: str, name: str, value: float, at: float = 0.0, **labels: str) -> None:
        self.living.add(pid)
        file = MmapedDict(str(self.directory / f"{kind}_{pid}.db"))
        key = mmap_key(
            name.removesuffix("_total").removesuffix("_bucket"),
            name,
            list(labels),
            list(labels.values()),
            "Help.",
        )
        file.write_value(key, value, at)
        file.close()

    def read(self) -> dict[str, float]:
        return {
            sample.name
            + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
            for metric in self.metrics.collect()
            for sample in metric.samples
        }


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def test_counters_stay_when_their_process_dies(processes: Processes) -> None:
    processes.write(11, "counter", "mails_total", 3)
    processes.write(12, "counter", "mails_total", 4)
    assert processes.read() == {"mails_total": 7}
    processes.living = {12}
    assert processes.read() == {"mails_total": 7}
    assert processes.metrics.tidy() == 1
    assert processes.read() == {"mails_total": 7}
    processes.living.clear()
    assert processes.metrics.tidy() == 1
    assert processes.metrics.tidy() == 0
    assert processes.read() == {"mails_total": 7}


def test_thousands_of_dead_workers_leave_a_handful_of_files(processes: Processes) -> None:
    for pid in range(100, 1100, 100):
        for number in range(pid, pid + 100):
            processes.write(number, "counter", "mails_total", 1)
            processes.write(number, "histogram", "took_bucket", 1, le="1.0")
        processes.living.clear()
        processes.metrics.tidy()
        assert len([path for path in processes.directory.rglob("*") if path.is_file()]) <= 3
    assert processes.read() == {"mails_total": 1000, "took_bucket le=1.0": 1000, "took_count": 1000}


def test_gauges_go_with_their_process_unless_they_say_otherwise(processes: Processes) -> None:
    for kind in ("gauge_all", "gauge_liveall", "gauge_livesum", "gauge_sum", "gauge_max", "gauge_min"):
        processes.write(11, kind, kind, 5)
        processes.write(12, kind, kind, 3)
    processes.write(11, "gauge_mostrecent", "gauge_mostrecent", 1, at=200.0)
    processes.write(12, "gauge_mostrecent", "gauge_mostrecent", 2, at=100.0)
    processes.living = {12}
    expected = {
        "gauge_all pid=12": 3,
        "gauge_liveall pid=12": 3,
        "gauge_livesum": 3,
        "gauge_sum": 8,
        "gauge_max": 5,
        "gauge_min": 3,
        "gauge_mostrecent": 1,
    }
    assert processes.read() == expected
    processes.metrics.tidy()
    assert processes.read() == expected


@pytest.mark.parametrize("step", ["merged but not deleted", "draft only"])
def test_a_monitor_that_dies_while_it_tidies_counts_nothing_twice(processes: Processes, step: str) -> None:
    processes.write(11, "counter", "mails_total", 3)
    processes.living.clear()
    left = processes.directory / "counter_11.db"
    saved = left.read_bytes()
    processes.metrics.tidy()
    left.write_bytes(saved)
    dead = processes.directory / "dead.1"
    (dead / "merged").write_text(json.dumps(["counter_11.db"]))
    if step == "draft only":
        dead.rename(processes.directory / "draft.1")
    assert processes.read() == {"mails_total": 3}
    processes.metrics.tidy()
    assert processes.read() == {"mails_total": 3}


def test_a_new_process_with_an_old_pid_is_counted_anew(processes: Processes) -> None:
    processes.write(11, "counter", "mails_total", 3)
    processes.living.clear()
    processes.metrics.tidy()
    processes.write(11, "counter", "mails_total", 2)
    assert processes.read() == {"mails_total": 5}


def test_a_file_that_was_cut_off_is_left_out(processes: Processes) -> None:
    processes.write(11, "counter", "mails_total", 3)
    processes.write(12, "counter", "mails_total", 4)
    broken = processes.directory / "counter_12.db"
    broken.write_bytes(b"\x40\x00\x00\x00" + b"\xff" * 60)
    assert processes.read() == {"mails_total": 3}
    processes.living.clear()
    processes.metrics.tidy()
    assert processes.read() == {"mails_total": 3}


def test_no_metrics_are_none(processes: Processes) -> None:
    assert processes.read() == {}
    assert processes.metrics.tidy() == 0
    shutil.rmtree(processes.directory)
    processes.directory.mkdir()
    assert processes.read() == {}
