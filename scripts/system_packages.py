"""Programs that the tests need beside the database servers, and their installation by the system's package manager."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def has_pooler() -> bool:
    """Return whether pgbouncer is installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


def has_browser() -> bool:
    """Return whether there is a browser where tests/dashboard/test_browser.py looks for it."""
    return bool(
        os.environ.get("GOQUE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )


def install(*packages: str) -> bool:
    """Install packages with apt-get, if this user is root; return whether that worked."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"services: installing {' '.join(packages)}", file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, stdout=sys.stderr, check=False)
        if done.returncode:
            return False
    return True
