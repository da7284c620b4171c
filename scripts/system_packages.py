"""Find and install the programs that tests need in addition to database servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

GALERA: Final = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")


def has_pooler() -> bool:
    """Return whether pgbouncer is installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


def has_haproxy() -> bool:
    """Return whether haproxy is installed."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


def has_galera() -> bool:
    """Return whether MariaDB's Galera library is installed."""
    return any(Path(path).exists() for path in GALERA)


def has_browser() -> bool:
    """Return whether tests/dashboard/test_browser.py will find a browser."""
    return bool(
        os.environ.get("GOQUE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )


def install(*packages: str) -> bool:
    """Install packages with apt-get if this user is root. Return whether the installation succeeded."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print(f"services: installing {' '.join(packages)}", file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, stdout=sys.stderr, check=False)
        if done.returncode:
            return False
    return True
