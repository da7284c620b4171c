"""What is in the wheel and in the sdist, and what is not."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from distributions import ROOT, SUPPORTED

from goque.version import __version__

pytestmark = pytest.mark.xdist_group("packaging")  # one build


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def names_in_sdist(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_has_each_file_of_the_packages(wheel: Path) -> None:
    expected = {name.removeprefix("supervisor/") for name in tracked("goque", "supervisor")}
    metadata = {name for name in names_in_wheel(wheel) if ".dist-info/" in name}
    assert names_in_wheel(wheel) - metadata == expected
    assert "goque/py.typed" in expected
    assert any(name.endswith(".sql") for name in expected)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"goque-{__version__}.dist-info/METADATA").decode()
        assert "Root-Is-Purelib: true" in archive.read(f"goque-{__version__}.dist-info/WHEEL").decode()
    metadata = Parser().parsestr(text)
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    versions = {line.rpartition(" ")[2] for line in metadata.get_all("Classifier", ()) if ":: 3." in line}
    assert versions == set(SUPPORTED)


def test_the_sdist_has_what_a_packager_needs_and_nothing_that_was_made(sdist: Path) -> None:
    names = names_in_sdist(sdist)
    needed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "scripts/test", "docs/index.md"}
    assert needed <= names
    assert tracked("goque", "supervisor", "tests", "examples") <= names
    assert names - tracked() - {"PKG-INFO"} == set()
    assert {name for name in names if name.startswith((".ci", ".github"))} == set()
