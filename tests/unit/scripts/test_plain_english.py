import click
import plain_english
import pytest


def words_found(markdown):
    return [finding.words for finding in plain_english.findings("page.md", markdown)]


@pytest.mark.parametrize(
    "text",
    [
        "What ran is charged once.",
        "It starts. What waits is `new`.",
        "- **Loss.** Who comes too late changes nothing.",
        "| status | What waits is `new`. |",
        "What is tested, and how: [faults](faults.md).",
        "Limits are told in the guide.",
        "The log says nothing of it.",
        "The job stands in the table.",
        "The log shows what comes of it.",
        "Whoever holds the key waits.",
        "Both are written\nalike.",
        "> 95 of 100 within 3 ms",
        "## Whatever it takes",
    ],
)
def test_riddles_are_found(text):
    assert len(words_found(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "The fetcher claims tasks and sends them to workers.",
        "What is a pool? It is a set of processes.",
        "## What can go wrong",
        "Show what waits.",
        "UTC stands for a time zone. It works stand-alone.",
        "Read [the guide](whatever.md), `whatever`, and <https://example.org/whatever>.",
        "```python\nwhatever = 1\n```\n\n~~~\nalike\n~~~",
        "Text <!-- whatever --> and `a\nwhatever`.",
        "::: goque.Registry\n    options:\n      filters: [whatever]\n",
    ],
)
def test_plain_sentences_code_and_targets_of_links_are_left_alone(text):
    assert words_found(text) == []


def test_a_line_may_say_why_it_needs_the_word():
    excepted = "<!-- plain: the title of a book -->"
    assert words_found(f"They read “Whatever”. {excepted}") == []
    assert words_found(f"{excepted}\nThey read “Whatever”.") == []
    assert words_found(f"{excepted}\n\nThey read “Whatever”.") == ["Whatever"]
    assert words_found("They read “Whatever”. <!-- plain: -->") == ["Whatever"]


def test_a_finding_names_its_line_and_shows_dots_for_code():
    page = "# Title\n\nA first line,\nand a second. What `run` does\nis to run.\n"
    (finding,) = plain_english.findings("page.md", page)
    assert str(finding).startswith("page.md:4: “What … does is to run.”: name the thing")


def test_long_sentences_are_counted_without_those_beside_them():
    long = " ".join(["word"] * 31).capitalize()
    assert not list(plain_english.long_sentences("page.md", "Short. " + "A word. " * 40))
    assert not list(plain_english.long_sentences("page.md", f"`{long}`"))
    (finding,) = plain_english.long_sentences("page.md", f"Short.\n{long}. Short.")
    assert (finding.line, finding.advice) == (2, "31 words")


def test_the_help_of_subcommands_and_options_is_read_without_its_examples():
    @click.group(help="Run things.")
    def goque(): ...

    @goque.command(help="Stop.\n\n\b\nExamples:\n  goque stop whatever\n\nFor good.")
    @click.option("--all", "-a", help="Stop all of them.")
    def stop(): ...

    assert list(plain_english.help_texts(goque)) == [
        ("goque --help", "Run things."),
        ("goque stop --help", "Stop.\n\nFor good."),
        ("goque stop --all", "Stop all of them."),
    ]


def test_named_files_fail_the_program(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("It is written for ever.\n")
    assert plain_english.main([str(page)]) == 1
    assert f"{page}:1: “for ever”" in capsys.readouterr().out
    page.write_text("It is written once.\n")
    assert plain_english.main([str(page)]) == 0
