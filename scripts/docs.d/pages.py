"""Make pages of the site from files outside of docs/: CHANGELOG.md, CONTRIBUTING.md, the READMEs of examples.

MkDocs calls the functions named on_…. The links in these files are relative to the repository. This module changes them
to links of the site. A link to a file without a page, such as source code, becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from functools import partial
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`(?!\])", re.DOTALL | re.MULTILINE)


def pages_from_outside() -> dict[str, str]:
    """Return the pages of the site that are not files of docs/, each with its path in the repository."""
    readmes = sorted(ROOT.glob("examples/*/README.md"))
    examples = {
        f"examples/{path.parent.name}.md": f"examples/{path.parent.name}/README.md" for path in readmes
    }
    roots = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    return {name.lower(): name for name in sorted(roots) if (ROOT / name).exists()} | examples


def on_config(config: MkDocsConfig) -> None:
    """Fill the two parts of the navigation that list the files of a folder."""
    examples = [name for name in pages_from_outside() if name.startswith("examples/")]
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for group in config.nav or []:
        for section in (entry for entries in group.values() for entry in entries if isinstance(entry, dict)):
            if "Examples" in section:
                section["Examples"] = [{Path(name).stem: name} for name in examples]
            if "Decisions" in section:
                section["Decisions"] = [f"decisions/{name}" for name in decisions]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages from outside of docs/."""
    for name, place in pages_from_outside().items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / place)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links of the repository to links of the site, except in code."""
    del config, files
    name = page.file.src_uri
    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(partial(link_in_site, name), markdown[end : code.start()]), code[0]]
        end = code.end()
    parts.append(LINK.sub(partial(link_in_site, name), markdown[end:]))
    return "".join(parts)


def link_in_site(name: str, match: re.Match[str]) -> str:
    """Return a link on the page `name` as a link of the site."""
    words, target = match.groups()
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    outside = pages_from_outside()
    page_at = {repository: site for site, repository in outside.items()} | {"README.md": "index.md"}
    path, hash_sign, anchor = target.partition("#")
    place = posixpath.dirname(outside.get(name, f"docs/{name}"))
    there = posixpath.normpath(posixpath.join(place, path))
    if not there.startswith("docs/") and there not in page_at:
        return words if (ROOT / there).exists() else match[0]
    site = page_at.get(there, there.removeprefix("docs/"))
    return f"[{words}]({posixpath.relpath(site, posixpath.dirname(name) or '.')}{hash_sign}{anchor})"
