"""Find sentences that readers must read twice, in the documentation and in the help of commands.

    plain_english.py [--long] [FILE…]

Without FILE it reads the README, the pages of the site (decisions excepted) and each command's help. `--long` lists
the sentences of more than 30 words too; they are no error. Code and the targets of links are not read.

A line that needs such a word keeps it with a reason in the text, on the same line or on the one before:
`<!-- plain: the title of a book -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
ENFORCED = True  # whether a finding fails scripts/check; files named on the command line always do
MAX_WORDS = 30


@dataclass(frozen=True)
class Rule:
    """A shape of words that is not plain English, and what to write instead."""

    pattern: re.Pattern[str]
    advice: str


def rule(pattern: str, advice: str) -> Rule:
    """Make a rule; a space in the pattern is any white space."""
    return Rule(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), advice)


SENTENCE_START = r"(?:^|(?<=[.!?:;]\s)|(?<=\.\*\*\s))"

RULES = (
    rule(
        rf"{SENTENCE_START}(?-i:What|Who)\b[^.?!:]*[.!:]",
        "name the thing; no clause as subject, and no question without its mark",
    ),
    rule(r"\b(?:whatever|whoever|whichever|whomever)\b", "name the thing or the person"),
    rule(r"\b(?:so|neither|nor) (?:is|are|was|does|do) what\b", "name the thing; no clause as subject"),
    rule(r"\b(?:is|are|was|were) what (?:is|are|was|were|it|they)\b", "name the thing; no clause as subject"),
    rule(r"\b(?:is|are|was|were) told\b", "say who describes it: “the guide describes …”"),
    rule(r"\b(?:told|tells?|says?|said|knows?) (?:nothing )?of\b", "about; or name who does it"),
    rule(r"\b(?:is|are|was|were) said\b", "say who describes it"),
    rule(r"\bstands?\b(?!-| (?:for|in for)\b)", "is; or name what it does"),
    rule(r"\b(?:comes?|came|becomes?|became) of\b", "say what happens to it"),
    rule(r"\bcomes? (?:to be|out as)\b", "say who makes it"),
    rule(r"\balike\b", "both, the same; or grouped"),
    rule(r"\b(?:half|\d+ of \d+|nine of ten) within\b", "p50, p95"),
    rule(r"\bfor ever\b", "forever; or say until when"),
    rule(r"\bin vain\b", "without success"),
    rule(r"\b(?:but|save) for\b", "except"),
    rule(r"\b(?:mend|mends|mended|mending)\b", "repair, fix"),
    rule(r"\bbears?\b", "has"),
    rule(r"\b(?:unwell|ails?|ailing)\b", "say what is wrong"),
    rule(r"\b(?:takes?|took) along\b", "copies, keeps"),
    rule(r"\ball the same\b", "still"),
    rule(r"\b(?:thereof|therein|thereby|hence|thus|lest|albeit)\b", "use an everyday word"),
)

FENCE = re.compile(r"^([ \t]*)(```+|~~~+).*?^\1\2[ \t]*$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^::: .*\n(?:    .*\n|\n(?=    ))*", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
EXCEPTION = re.compile(r"<!-- plain: \S.*?-->")
CODE = re.compile(r"(`+)(?!`)(?:.|\n(?!\n))+?(?<!`)\1(?!`)")
LINK_TARGET = re.compile(r"\]\([^)\s]*\)|<https?://[^>]*>|https?://\S+|</?[a-z][^>]*>")
BLOCK_START = re.compile(r"\s*(?:[-*+]|\d+\.|#+|!!!|>)\s")
TABLE_ROW = re.compile(r"\s*\|")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)*]*\s+(?=[\"“(*]+\w|[A-Z`x])")


@dataclass(frozen=True)
class Prose:
    """A paragraph, a list item or a cell of a table: text without code, and the line where it begins."""

    line: int
    text: str


@dataclass(frozen=True)
class Finding:
    """A place that a rule names."""

    place: str
    line: int
    words: str
    advice: str

    def __str__(self) -> str:
        """Return the finding as compilers print theirs."""
        return f"{self.place}:{self.line}: “{self.words}”: {self.advice}"


def without_code(markdown: str) -> str:
    """Return Markdown of the same length: blank where code was, and one word in the place of code within a line."""
    text = markdown
    for blank in (FENCE, DIRECTIVE, COMMENT):
        text = blank.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    text = CODE.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text)
    return LINK_TARGET.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def paragraphs(markdown: str) -> Iterator[Prose]:
    """Take a page apart into the texts that are read in one go."""
    lines = without_code(markdown).split("\n")
    start, held = 1, list[str]()
    for number, line in enumerate(lines, 1):
        if held and (not line.strip() or BLOCK_START.match(line) or TABLE_ROW.match(line)):
            yield Prose(start, "\n".join(held))
            held = []
        if TABLE_ROW.match(line):
            yield from (Prose(number, cell) for cell in line.split("|") if cell.strip(" -:"))
        elif line.strip():
            start = start if held else number
            held.append(line)
            if line.lstrip().startswith("#"):
                yield Prose(start, held.pop())
    if held:
        yield Prose(start, "\n".join(held))


def findings(place: str, markdown: str) -> Iterator[Finding]:
    """Find what the rules name, except on lines that say why they need it."""
    excepted = {
        markdown.count("\n", 0, match.start()) + 1 + after
        for match in EXCEPTION.finditer(markdown)
        for after in (0, 1)
    }
    for prose in paragraphs(markdown):
        heading = prose.text.lstrip().startswith("#")
        text = re.sub(r"^\s*(?:[-*+]|\d+\.|>)\s+", lambda match: " " * len(match[0]), prose.text)
        body = text.lstrip()
        offset = len(text) - len(body)
        for each in RULES[1:] if heading else RULES:
            for match in each.pattern.finditer(body):
                line = prose.line + text.count("\n", 0, offset + match.start())
                if line not in excepted:
                    yield Finding(place, line, shown(match[0]), each.advice)


def shown(text: str) -> str:
    """Return the start of a text on one line, with dots in the place of code."""
    return re.sub(r"x{3,}", "…", " ".join(text.split()))[:60]


def long_sentences(place: str, markdown: str) -> Iterator[Finding]:
    """Find the sentences of more than MAX_WORDS words."""
    for prose in paragraphs(markdown):
        end = 0
        for sentence in SENTENCE_END.split(prose.text):
            at = prose.text.index(sentence, end)
            end = at + len(sentence)
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if len(words) > MAX_WORDS:
                line = prose.line + prose.text.count("\n", 0, at)
                yield Finding(place, line, shown(sentence), f"{len(words)} words")


def pages() -> Iterator[tuple[str, str]]:
    """Return each file that people read, with its text."""
    docs = (path for path in sorted(ROOT.glob("docs/**/*.md")) if "decisions" not in path.parts)
    others = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("examples/*/README.md")))
    for path in (*others, *docs):
        yield str(path.relative_to(ROOT)), path.read_text()


def help_texts(command: click.Command, name: str = "goque") -> Iterator[tuple[str, str]]:
    """Return the help of a command, its options and its subcommands, without the paragraphs that show examples."""
    parts = re.split(r"\n\s*\n", command.help or "")
    yield f"{name} --help", "\n\n".join(part for part in parts if "\b" not in part)
    for parameter in command.params:
        if words := getattr(parameter, "help", None):
            yield f"{name} {parameter.opts[0]}", words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for subcommand in command.list_commands(context):
            if found := command.get_command(context, subcommand):
                yield from help_texts(found, f"{name} {subcommand}")


def texts(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return what to read: the files named, or all pages and all help texts."""
    if files:
        yield from ((name, Path(name).read_text()) for name in files)
        return
    from goque.cli.group import root  # noqa: PLC0415 - a file is checked without the commands

    yield from pages()
    yield from help_texts(root)


def main(arguments: list[str]) -> int:
    """Print the findings and their number in each file; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument(
        "--long", action="store_true", help=f"list sentences of more than {MAX_WORDS} words too"
    )
    options = parser.parse_args(arguments)
    read = list(texts(options.files))
    found = [finding for place, text in read for finding in findings(place, text)]
    long = [finding for place, text in read for finding in long_sentences(place, text)]
    for finding in (*found, *(long if options.long else ())):
        print(finding)
    for place, count in Counter(finding.place for finding in found).most_common():
        print(f"{count:5} in {place}")
    print(f"{len(found)} to reword, {len(long)} sentences of more than {MAX_WORDS} words")
    return 1 if found and (ENFORCED or options.files) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
