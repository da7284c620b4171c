"""Write the reference of docs/: docs/api.md and docs/api/ from the docstrings, docs/commands.md from --help.

`scripts/docs reference` runs it. The files are in the repository, so that people can read and search them there, and a
test compares them with the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import griffe
from reference_commands import commands_page
from reference_pages import MADE_BY, OPTION_CLASSES, PAGES, Entry, Page
from reference_signatures import constant, signature

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"(?:^ {4}\S.*\n(?:^ {4}.*\n|\n(?= {4}))*)", re.MULTILINE)
NAME_IN_CODE = re.compile(r"(?<![\[`])`([A-Za-z_.]+)(?:\(\))?`(?![\]`])")

SectionText = Callable[[Any, Collection[str]], str]


def files() -> dict[str, str]:
    """Return each file of the reference, by its path in the repository, with its text."""
    source = Source()
    written = {f"docs/api/{page.name}.md": source.page(page) for page in PAGES}
    return written | {"docs/api.md": source.index(), "docs/commands.md": commands_page()}


class Source:
    """The public names of goque, as its source defines them."""

    def __init__(self) -> None:
        loader = griffe.GriffeLoader(search_paths=[ROOT, ROOT / "supervisor"])
        loader.load("goque_supervisor")
        self.goque = loader.load("goque")
        loader.resolve_aliases(external=False)
        self.links: dict[str, str] = {}
        for name, target in self._anchors():
            self.links.setdefault(name, target)

    def find(self, path: str) -> Any:
        """Return what a full name names."""
        found = self.goque[path.removeprefix("goque.")]
        return found.final_target if found.is_alias else found

    def _anchors(self) -> Iterator[tuple[str, str]]:
        for page in PAGES:
            for entry in page.entries:
                found, title = self.find(entry.path), title_of(entry)
                yield title, f"{page.name}.md#{anchor(title)}"
                if title.startswith("goque.") and found.is_class:
                    yield found.name, f"{page.name}.md#{anchor(title)}"
                for member in self.members(entry):
                    name = f"{member_prefix(entry)}.{member.name}"
                    yield name, f"{page.name}.md#{anchor(name)}"

    def page(self, page: Page) -> str:
        """Return a page: each entry with its members."""
        parts = [MADE_BY, f"# {page.title}", self.linked(page.introduction)]
        listed: dict[str, str] = {}
        for entry in page.entries:
            found = self.find(entry.path)
            parts.append(f"## `{title_of(entry)}`")
            parts += self.described(found, entry)
            for member in self.members(entry):
                name = f"{member_prefix(entry)}.{member.name}"
                parts.append(f"### `{name}`")
                parts += self.described(member, entry)
                parts += self.options(member, listed, name)
        return "\n\n".join(part for part in parts if part) + "\n"

    def index(self) -> str:
        """Return the page that lists every public name."""
        parts = [MADE_BY, "# Python API", INDEX]
        for page in PAGES:
            parts.append(f"## [{page.title}](api/{page.name}.md)")
            rows = []
            for entry in page.entries:
                title = title_of(entry)
                summary = self.linked(first_sentence(self.find(entry.path)), "api/")
                rows.append(f"- [`{title}`](api/{page.name}.md#{anchor(title)}): {summary}")
                names = [member.name for member in self.members(entry) if not member.is_attribute]
                links = [
                    f"[`{name}`](api/{page.name}.md#{anchor(f'{member_prefix(entry)}.{name}')})"
                    for name in names
                ]
                rows += [f"  - {', '.join(links)}"] if links else []
            parts.append("\n".join(rows))
        return "\n\n".join(parts) + "\n"

    def members(self, entry: Entry) -> list[Any]:
        """Return the members that the reference shows, those of the class before those of its bases."""
        found = self.find(entry.path)
        if entry.only:
            return [found[name] for name in entry.only.split() if name != "-"]
        if not (found.is_class or found.is_module):
            return []
        own = dict(found.members)
        inherited = {name: member for name, member in found.all_members.items() if name not in own}
        shown = [*own.values(), *(inherited.values() if entry.inherited else ())]
        return [member for member in shown if is_shown(member, entry)]

    def described(self, found: Any, entry: Entry) -> Iterator[str]:
        """Return signature, text, arguments, results and errors of a name, each as Markdown."""
        is_itself = found is self.find(entry.path)
        call = signature(found) if entry.is_made or not is_itself else ""
        if call:
            yield f"```python\n{call}\n```"
        for section in found.docstring.parse("google") if found.docstring else ():
            yield self.linked(
                SECTIONS[section.kind.value](section, entry.hidden.split() if is_itself else ())
            )
        if is_itself and found.is_class and "StrEnum" in map(str, found.bases):
            values = [
                f"- `{each.name} = {each.value}`" for each in found.members.values() if each.name.isupper()
            ]
            yield "**Values**\n\n" + "\n".join(values)

    def options(self, found: Any, listed: dict[str, str], name: str) -> Iterator[str]:
        """Return the keywords that `**options` takes; a page lists them at the first name that takes them."""
        for parameter in getattr(found, "parameters", ()):
            kind = str(parameter.annotation).removeprefix("Unpack[").removesuffix("]")
            if kind in listed:
                yield self.linked(f"**Options**: those of `{listed[kind]}`.")
            elif kind in OPTION_CLASSES:
                listed[kind] = name
                yield self.linked("**Options**\n\n" + "\n".join(self.option_lines(*OPTION_CLASSES[kind])))

    def option_lines(self, *paths: str) -> Iterator[str]:
        """Return a line for each keyword of the first class; the others have what it leaves out."""
        keywords, *others = (self.find(path) for path in paths)
        own = meanings_in(keywords)
        for name, attribute in keywords.members.items():
            value = next(filter(None, (default_in(each, name) for each in others)), None)
            default = f" = {constant(value)}" if value and name not in own else ""
            meaning = own.get(name) or next(
                found[name] for found in map(meanings_in, others) if name in found
            )
            yield f"- `{name}: {attribute.annotation}{default}`: {meaning}"

    def linked(self, text: str, folder: str = "") -> str:
        """Make links of the public names that a text has as code, except in examples."""

        def link(match: re.Match[str]) -> str:
            target = self.links.get(match[1])
            return f"[{match[0]}]({folder}{target})" if target else match[0]

        parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
        return "".join(part if part.startswith("```") else NAME_IN_CODE.sub(link, part) for part in parts)


INDEX = """\
The list of all public names. Import them from `goque`. Names on the pages [Testing](api/testing.md) and
[Frameworks](api/frameworks.md) have modules of their own. goque is typed, so a type checker and an editor know every
name and option. Times are seconds, as a number or a `timedelta`, unless the text says otherwise."""


def title_of(entry: Entry) -> str:
    """Return the heading of an entry."""
    return entry.title or entry.path


def member_prefix(entry: Entry) -> str:
    """Return what headings put before the names of an entry's members."""
    return entry.title or (entry.path if entry.path[6:7].islower() else entry.path.rpartition(".")[2])


def anchor(title: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w-]", "", title.lower())


def is_shown(member: Any, entry: Entry) -> bool:
    """Whether a member is public, documented, and not left out by its entry."""
    if member.name.startswith("_") or member.name in entry.hidden.split():
        return False
    if member.is_alias and not member.inherited:
        return False  # an import
    return member.docstring is not None and member.name != "exit_code"


def first_sentence(found: Any) -> str:
    """Return the first sentence of a docstring, on one line."""
    text = found.docstring.value.split("\n\n")[0] if found.docstring else ""
    return re.split(r"(?<=\.)\s", one_line(text))[0]


def one_line(text: str) -> str:
    """Return a text without its line ends."""
    return " ".join(text.split())


def default_in(found: Any, name: str) -> Any:
    """Return the default of an option, as a class's constructor or the attribute of a struct has it."""
    if "__init__" in found.members:
        return next((each.default for each in found.parameters if each.name == name), None)
    return found.members[name].value if name in found.members else None


def meanings_in(found: Any) -> dict[str, str]:
    """Return what a class's docstring says about each attribute and argument."""
    sections = found.docstring.parse("google") if found.docstring else ()
    items = {section.kind.value: section.value for section in sections}
    named = (*items.get("attributes", ()), *items.get("parameters", ()))
    return {item.name: one_line(item.description) for item in named}


def text_section(section: Any, hidden: Collection[str] = ()) -> str:
    """Return the text of a docstring; its indented lines are examples in Python."""
    del hidden

    def fenced(match: re.Match[str]) -> str:
        code = re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE).strip("\n")
        return f"```python\n{code}\n```\n"

    return EXAMPLE.sub(fenced, section.value + "\n").strip("\n")


def listed_as(title: str, key: str) -> SectionText:
    """Return a function that makes a list of a section, without the names that are hidden."""

    def section_list(section: Any, hidden: Collection[str]) -> str:
        lines = []
        for item in section.value:
            names = str(getattr(item, key) or "").strip("()").split(", ")
            if names[0] not in hidden:
                named = ", ".join(f"`{name}`" for name in names if name)
                lines.append("- " + f"{named}: " * bool(named) + one_line(item.description))
        return f"**{title}**\n\n" + "\n".join(lines)

    return section_list


SECTIONS: dict[str, SectionText] = {
    "text": text_section,
    "parameters": listed_as("Arguments", "name"),
    "attributes": listed_as("Attributes", "name"),
    "raises": listed_as("Errors", "annotation"),
    "returns": listed_as("Returns", "name"),
    "yields": listed_as("Yields", "name"),
}


def main() -> None:
    """Write the files, and remove those that the reference no longer has."""
    wanted = files()
    for old in (ROOT / "docs/api").glob("*.md"):
        if str(old.relative_to(ROOT)) not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
