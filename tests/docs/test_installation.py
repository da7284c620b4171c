"""The page on installing names what really comes with goque, and its extras."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from page_app import DOCS

PAGE = (DOCS / "installation.md").read_text("utf-8")
PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"]
FOR_DEVELOPERS = {"bench", "dev", "docs"}


def rows_of(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def needed_by(name: str) -> set[str]:
    """Return what a package needs on this system, with what that needs."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for text in distribution(waiting.pop()).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                known = canonicalize_name(needed.name)
                if known not in found:
                    found.add(known)
                    waiting.append(known)
    return found


def test_each_package_is_there_with_what_it_is_for() -> None:
    direct = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    rows = rows_of("What comes with it")
    assert {canonicalize_name(name) for name, _needed, _use in rows} == direct
    needed = {canonicalize_name(name) for row in rows for name in row[1].split(", ") if name}
    really = set().union(*map(needed_by, direct)) - direct - {"pip"}
    assert needed == really


def test_each_extra_of_users_is_there() -> None:
    named = {name for row in rows_of("Extras") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == PROJECT["optional-dependencies"].keys() - FOR_DEVELOPERS


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_no_page_lets_pip_look_for_goque_on_an_index(page: str) -> None:
    """Except as an extra of an installed goque, which pip keeps, and on the page that says so."""
    text = (DOCS / page).read_text("utf-8")
    if page != "installation.md":
        assert not re.findall(r"pip install (?:[\w.'\[\]-]+ )*goque(?![\[\w])", text)
