"""The distributions of this checkout, and clean environments to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12", "3.13")


def run(*command: str | Path, cwd: Path, code: int = 0, timeout: float = 110) -> str:
    """Run a command outside of this environment, expect its exit code, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GOQUE_", "PYTHON"))}
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == code, f"{command} ended with {done.returncode}\n{told}"
    return told


def build(directory: Path) -> tuple[Path, Path]:
    """Return sdist and wheel: those in `GOQUE_TEST_DIST`, or new ones. A new wheel is made from the sdist."""
    given = os.environ.get("GOQUE_TEST_DIST")
    if given is None:
        run(sys.executable, "-m", "build", "--outdir", directory, ROOT, cwd=directory)
    built = Path(given or directory)
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    return sdist.resolve(), wheel.resolve()


def interpreter(version: str) -> str | None:
    """Find a Python of a version: on the path, or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for candidate in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if candidate and _says(candidate) == version:
            return str(candidate)
    return None


def make_environment(python: str, directory: Path) -> Path:
    """Make an environment with nothing in it, and return its `bin`."""
    run(python, "-m", "venv", "--without-pip", directory, cwd=directory.parent)
    return directory / "bin"


def install(binaries: Path, *requirements: str | Path) -> None:
    """Install from wheels alone: nothing is compiled, and no setup code is run."""
    pip = (sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet")
    run(*pip, "--only-binary", ":all:", *requirements, cwd=binaries)


def _says(python: str | Path) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip()
