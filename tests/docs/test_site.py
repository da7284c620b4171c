"""The documentation site builds strictly, is complete, and fetches nothing from anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import goque
import goque.testing
from goque.cli.group import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    "mkdocs.yml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs",
    "examples",
    "goque",
    "scripts",
    "supervisor",
]

on_one_site = pytest.mark.xdist_group("site")  # which is built once


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=project,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of all that the site is made of, to be spoilt."""
    for part in PARTS:
        copy: Callable[..., object] = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    return tmp_path


class Fetches(HTMLParser):
    """Collects what a browser loads for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in {"canonical", "prev", "next"}:
            return
        for name in ("src", "srcset", "data") + (("href",) if tag == "link" else ()):
            self.found.append(values.get(name) or "")


@on_one_site
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetches = Fetches()
        fetches.feed(page.read_text("utf-8"))
        assert len(fetches.found) > 2
        assert [url for url in fetches.found if re.match(r"([a-z]+:)?//", url)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text("utf-8")), style


@on_one_site
def test_every_public_name_is_linked_from_the_page_of_the_api(site: Path) -> None:
    page = (site / "api.html").read_text("utf-8")
    public = {"goque": goque.__all__, "goque.testing": goque.testing.__all__}
    full = [f"{module}.{name}" for module, names in public.items() for name in names]
    missing = [name for name in full if f"<code>{name}</code></a>" not in page]
    assert missing == ["goque.__version__"]
    assert '<h3 id="registrypool">' in (site / "api" / "registry.html").read_text("utf-8")


@on_one_site
def test_every_command_has_its_help_on_a_page(site: Path) -> None:
    page = (site / "commands.html").read_text("utf-8")
    for name in COMMANDS:
        assert f'<h2 id="goque-{name}">' in page
        assert f"Usage: goque {name} " in page


@on_one_site
def test_pages_from_outside_docs_are_there_and_linked(site: Path) -> None:
    assert "Keep a Changelog" in (site / "changelog.html").read_text("utf-8")
    index = (site / "index.html").read_text("utf-8")
    for page in ("contributing.html", "changelog.html", "examples/highlight_stdlib.html"):
        assert (site / page).exists()
        assert f'href="{page}"' in index


MISTAKES = [
    ("forgotten.md", "# Forgotten", 'not included in the "nav" configuration:\n  - forgotten.md'),
    ("security.md", "[gone](gone.md)", "contains a link 'gone.md', but the target is not found"),
    ("security.md", "[gone](../gone.py)", "contains a link '../gone.py', but the target"),
    ("security.md", "[gone](handlers.md#gone)", "does not contain an anchor '#gone'"),
]


def test_the_build_fails_on_each_mistake(project: Path) -> None:
    for page, text, _ in MISTAKES:
        with (project / "docs" / page).open("a", encoding="utf-8") as file:
            file.write(f"\n{text}\n")
    done = build(project, project / "site")
    assert done.returncode == 1
    for _, _, complaint in MISTAKES:
        assert complaint in done.stderr
