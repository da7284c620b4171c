import inspect
import re
from pathlib import Path

import pytest
import reference

import goque
import goque.testing
from goque.cli.group import COMMANDS
from goque.options import ProcessorKeywords
from goque.pools.options import PoolKeywords

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def written():
    return reference.files()


def section(text, heading):
    level = heading.partition(" ")[0]
    start = text.index(f"\n{heading}\n")
    ends = re.search(rf"^#{{1,{len(level)}}} ", text[start + len(heading) + 2 :], re.MULTILINE)
    return text[start : start + len(heading) + 2 + ends.start()] if ends else text[start:]


def test_the_files_of_the_repository_are_up_to_date(written):
    there = {"docs/api.md", "docs/commands.md"}
    there |= {str(path.relative_to(ROOT)) for path in (ROOT / "docs/api").glob("*.md")}
    old = [name for name in sorted(there | set(written)) if name not in there or name not in written]
    old += [name for name in written if name in there and (ROOT / name).read_text("utf-8") != written[name]]
    assert old == [], "run `scripts/docs reference` and commit what it writes"


def test_every_public_name_has_a_heading(written):
    headings = "\n".join(written.values())
    names = [f"goque.{name}" for name in goque.__all__ if name != "__version__"]
    names += [f"goque.testing.{name}" for name in goque.testing.__all__]
    assert [name for name in names if f"\n## `{name}`\n" not in headings] == []


def test_the_public_methods_of_a_manager_are_all_there(written):
    shown = set(re.findall(r"^### `TaskQueueManager\.(\w+)`", written["docs/api/queue.md"], re.MULTILINE))
    public = {name for name, _ in inspect.getmembers(goque.TaskQueueManager) if not name.startswith("_")}
    assert public - shown == {"storage"}


@pytest.mark.parametrize(
    ("heading", "keywords"),
    [("### `Registry.pool`", PoolKeywords), ("### `Registry.add_processor`", ProcessorKeywords)],
)
def test_options_are_listed_with_type_default_and_meaning(written, heading, keywords):
    text = section(written["docs/api/registry.md"], heading)
    assert re.findall(r"^- `(\w+): [^`]+`: \S", text, re.MULTILINE) == list(keywords.__annotations__)
    assert "- `idle_timeout: float | timedelta = 60.0`: seconds without a task" in text


def test_a_method_has_signature_text_arguments_and_errors(written):
    text = section(written["docs/api/registry.md"], "### `Registry.declare`")
    assert "def declare(task_type: str, *, payload: Any = Any) -> Handler[Any]\n" in text
    assert "\nName a type that runs elsewhere" in text
    assert "**Arguments**\n\n- `task_type`: the type of its tasks.\n" in text
    assert "**Errors**\n\n- [`ConfigurationError`](errors.md#goqueconfigurationerror): " in text


def test_examples_of_docstrings_are_python_blocks(written):
    text = section(written["docs/api/registry.md"], "### `Registry.processor`")
    assert '```python\n@registry.processor("send_email")\ndef send_email(' in text


def test_internal_members_are_left_out(written):
    text = "\n".join(written.values())
    for name in ("Registry.prepare_tasks", "Task.from_row", "Task.steps_of_run", "flow_name"):
        assert name not in text


def test_every_command_has_its_help(written):
    for name in COMMANDS:
        assert f"\n## goque {name}\n\n```text\nUsage: goque {name} " in written["docs/commands.md"]
