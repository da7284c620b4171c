"""Hosts without a directory for temporary files, and with an XDG_RUNTIME_DIR of another user."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from resource_limits import unable
from tree import python_command

from goque import private

APP = """
import goque
registry = goque.Registry()

@registry.processor("hello")
def hello(task):
    pass
"""
MOUNTS = """
set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/app
mount -t tmpfs tmpfs /mnt/app
printf '%s' "$APP" > /mnt/app/app.py
mount -o remount,ro /mnt/app
mount -t tmpfs -o ro tmpfs /var/tmp
mount --bind /tmp /tmp
mount -o remount,ro,bind /tmp
cd /mnt/app
unset XDG_RUNTIME_DIR TMPDIR
exec "$@"
"""


def run_without_temporary_directory(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of goque where only /mnt can be written."""
    command = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh"]
    environment = {**os.environ, "APP": APP, "GOQUE_DATABASE_URL": "sqlite:////mnt/q.db"}
    return subprocess.run(
        [*command, *python_command("-m", "goque.cli", *arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ("supervise app:registry --drain --run-dir /mnt/run", 0, "supervisor stopped"),
        ("supervise app:registry --drain", 2, "there is none for the run directory; give --run-dir"),
        ("migrate", 0, ""),
    ],
)
def test_a_run_directory_suffices_and_without_one_a_line_says_so(
    arguments: str, exit_code: int, said: str
) -> None:
    if os.geteuid() != 0:
        unable("only root can mount")
    done = run_without_temporary_directory(*shlex.split(arguments))
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert exit_code == 0 or len(done.stderr.splitlines()) == 1


@pytest.mark.fault(53)
def test_an_xdg_runtime_dir_of_another_user_does_not_count(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unable("only root can become another user")
    for mode in (0o755, 0o700):
        foreign = tmp_path / f"foreign-{mode:o}"
        foreign.mkdir(mode=mode)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.environ["XDG_RUNTIME_DIR"] = str(foreign)
            os.setuid(12345)
            os.write(writer, str(private.default_base()).encode())
            os._exit(0)
        os.close(writer)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(reader, 4096).decode().endswith("/goque-12345")
        os.close(reader)
