"""`goque dashboard`: what it refuses at its start, and in which words."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest


def test_a_port_in_use_is_told(goque):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = goque("dashboard", "--port", str(port), code=2)
    assert refused.stderr == (
        f"goque: --host 127.0.0.1 --port {port} cannot be opened: Address already in use; "
        "choose another host or port\n"
    )


def test_a_host_that_is_not_of_this_machine_is_told(goque):
    assert "cannot be opened" in goque("dashboard", "--host", "192.0.2.1", code=2).stderr
    assert "cannot be opened" in goque("dashboard", "--host", "no such host", code=2).stderr


def test_a_missing_extra_is_told(goque):
    missing = "raise ModuleNotFoundError('No module named starlette', name='starlette')"
    (goque.directory / "starlette.py").write_text(missing)
    assert goque("dashboard", code=2).stderr == (
        "goque: the dashboard needs more packages; pip install 'goque[dashboard]'\n"
    )


@pytest.mark.parametrize("options", [("--token", "short"), ("--token", "a" * 20, "--user-header", "X-User")])
def test_options_that_let_the_wrong_people_in_are_refused(goque, options):
    assert goque("dashboard", *options, code=2).stderr.count("\n") == 1


def test_an_app_that_does_not_import_is_told(goque):
    assert "there is no module nowhere" in goque("dashboard", "nowhere:registry", code=2).stderr


@pytest.mark.fault(41)
def test_a_database_that_is_away_ends_it_without_its_password(goque):
    url = "postgresql://goque:s3cr3t-word@127.0.0.1:1/shop"
    refused = goque("dashboard", "--port", "0", "--database-url", url, code=3)
    assert "127.0.0.1:1" in refused.stderr
    assert "s3cr3t" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Ctrl-C stops it"),
        (("--host", "0.0.0.0"), "everybody who can reach this page can read all payloads"),
        (("--read-only",), "Ctrl-C stops it"),
    ],
)
def test_it_serves_until_it_is_interrupted(goque, options, says):
    goque("migrate")
    command = [sys.executable, "-m", "goque.cli", "dashboard", "--port", "0", *options]
    process = subprocess.Popen(command, cwd=goque.directory, env=goque.env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        told = ""
        while says not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        found = re.search(r":(\d+)/ ", told)
        assert found
        base = f"http://127.0.0.1:{found[1]}"
        text = urllib.request.urlopen(f"{base}/", timeout=10).read().decode()
        assert "Overview" in text
        assert ("read-only" in text) is bool(options)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
