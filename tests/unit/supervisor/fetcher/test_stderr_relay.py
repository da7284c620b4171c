"""What workers write to their standard error reaches the tree's own in whole lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque_supervisor.fetcher.stderr_relay import MAX_FILE_SIZE, StderrRelay


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "w.stderr"
    path.touch()
    return path


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_line_is_forwarded_when_it_has_an_end(
    written: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    relay = StderrRelay(written)
    append(written, b"one\ntwo\nthr")
    relay.forward()
    assert capfdbinary.readouterr().err == b"one\ntwo\n"
    relay.forward()
    append(written, b"ee\n")
    relay.forward()
    assert capfdbinary.readouterr().err == b"three\n"


def test_the_rest_of_a_dead_worker_becomes_a_line(
    written: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    relay = StderrRelay(written)
    append(written, b"its last wor")
    relay.forward(rest=True)
    assert capfdbinary.readouterr().err == b"its last wor\n"


def test_a_line_of_any_length_is_forwarded_and_a_large_file_begins_anew(
    written: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    relay = StderrRelay(written)
    append(written, b"x" * (MAX_FILE_SIZE + 10) + b"\n")
    relay.forward()
    assert len(capfdbinary.readouterr().err) == MAX_FILE_SIZE + 11
    assert written.stat().st_size == 0
    append(written, b"next\n")
    relay.forward()
    assert capfdbinary.readouterr().err == b"next\n"


def test_a_file_that_is_gone_stops_nobody(written: Path) -> None:
    relay = StderrRelay(written)
    append(written, b"one\n")
    written.unlink()
    relay.forward()
    relay.forward(rest=True)


def test_the_relay_of_the_next_fetcher_goes_on_where_the_last_one_stopped(
    written: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    append(written, b"one\n")
    StderrRelay(written).forward()
    append(written, b"two\nthr")
    StderrRelay(written).forward()
    append(written, b"ee\n")
    StderrRelay(written).forward(rest=True)
    assert capfdbinary.readouterr().err == b"one\ntwo\nthree\n"
    written.write_bytes(b"new\n")  # shortened by a fetcher that died before it wrote that down
    StderrRelay(written).forward()
    assert capfdbinary.readouterr().err == b"new\n"
