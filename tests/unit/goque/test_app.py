"""From `module:attribute` to a registry, or to one line that says why not."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goque import ConfigurationError, Registry
from goque.app import load_registry

Write = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of a name that no other test used, and return that name."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)

    def write_module(source: str, name: str | None = None) -> str:
        module = name or f"app_under_test_{next(_numbers)}"
        Path(f"{module}.py").write_text(source)
        return module

    yield write_module
    sys.path[:] = path
    for module in set(sys.modules) - modules:
        if module.startswith("app_under_test"):
            del sys.modules[module]


def refusal(app: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        load_registry(app)
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_registry_in_the_current_directory(write: Write) -> None:
    module = write("import goque\nregistry = goque.Registry()\nclass Apps:\n    mail = goque.Registry()")
    assert isinstance(load_registry(f"{module}:registry"), Registry)
    assert isinstance(load_registry(f"{module}:Apps.mail"), Registry)


def test_the_current_directory_comes_before_what_is_installed(write: Write) -> None:
    module = write("import goque\nregistry = goque.Registry()", name="app_under_test_shadow")
    other = Path("elsewhere")
    other.mkdir()
    (other / f"{module}.py").write_text("registry = None")
    sys.path.insert(0, str(other.absolute()))
    load_registry(f"{module}:registry")


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("registry", "must be module:attribute"),
        (":registry", "no module name"),
        ("shop:", "no attribute name"),
        ("shop..mail:registry", "no module name"),
        ("shop:a b", "no attribute name"),
        ("shop.py:registry", "try shop:registry"),
        ("./mail/shop.py:queue", "try mail.shop:queue"),
        ("nosuch_module:registry", "there is no module nosuch_module"),
        ("json.nosuch:registry", "there is no module json.nosuch"),
        ("json:dumps", "app 'json:dumps' is a function, not a goque.Registry"),
        ("goque:Registry", "is the class Registry"),
        ("json:decoder", "is the module json.decoder"),
    ],
)
@pytest.mark.usefixtures("write")
def test_names_that_lead_nowhere(app: str, said: str) -> None:
    assert said in str(refusal(app))


def test_a_near_miss_is_answered_with_what_is_there(write: Write) -> None:
    module = write("import goque\nqueue = goque.Registry()\nnumber = 3")
    assert f"did you mean {module}:queue?" in str(refusal(f"{module}:registry"))
    assert f"did you mean {module}:queue?" in str(refusal(f"{module}:number"))
    assert f"did you mean {module}?" in str(refusal(f"{module}_:queue"))
    assert "did you mean number?" in str(refusal(f"{write('number = 3')}:numbr"))


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import nosuch_dependency",
            "ModuleNotFoundError: No module named 'nosuch_dependency' ({file}, line 1)",
        ),
        ("from json import nosuch", "ImportError: cannot import name 'nosuch' from 'json'"),
        ("\nx = = 1", "SyntaxError: invalid syntax ({file}, line 2)"),
        ("def f():\n    1 / 0\nf()", "ZeroDivisionError: division by zero ({file}, line 2)"),
        ("raise ValueError('first\\nsecond')", "ValueError: first ({file}, line 1)"),
        ("import sys\nsys.exit('bye')", "sys.exit: bye ({file}, line 2)"),
        ("raise SystemExit(3)", "sys.exit(3) ({file}, line 1)"),
        ("raise SystemExit", "sys.exit() ({file}, line 1)"),
        ("class Odd(BaseException): pass\nraise Odd(1)", "Odd: 1 ({file}, line 2)"),
        ("class Bad(Exception):\n    def __str__(self): raise self\nraise Bad", "Bad ({file}, line 3)"),
        ("raise KeyError('\\x1b[2J')", "KeyError: "),
    ],
)
def test_an_app_that_fails_at_import_is_named_with_the_place(write: Write, source: str, said: str) -> None:
    module = write(source)
    error = refusal(f"{module}:registry")
    assert str(error).startswith(
        f"app '{module}:registry' does not import: {said.format(file=f'{module}.py')}"
    )
    assert "\x1b" not in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "import json\n\njson.loads('{')",
            3,
        ),  # the standard library's frames, which are not below this directory
        ("import os\nos.environ['NO_SUCH_VARIABLE']", 2),  # frozen into the interpreter: it has no file
        ("import ast\nast.literal_eval('= 1')", 2),  # a SyntaxError, but not in any file
        ("exec('\\n\\n1 / 0')", 1),
        ("import goque\ngoque.Registry().add_processor('t', print, retries=3)", 2),
        ("import app_under_test_library\napp_under_test_library.call(None)", 2),
        ("import broken_library", 1),
    ],
)
def test_the_place_is_in_the_apps_own_code(write: Write, source: str, line: int) -> None:
    installed = Path(".venv/lib/python3/site-packages")  # a library may well be below the current directory
    installed.mkdir(parents=True)
    (installed / "app_under_test_library.py").write_text("def call(function):\n    function()\n")
    (installed / "broken_library.py").write_text("x = = 1\n")
    sys.path.insert(0, str(installed.absolute()))
    module = write(source)
    assert str(refusal(f"{module}:registry")).endswith(f" ({module}.py, line {line})")


def test_the_place_of_an_installed_app_is_in_its_package(write: Write, tmp_path: Path) -> None:
    package = tmp_path / "elsewhere" / "site-packages" / write("", "app_under_test_installed")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tasks.py").write_text("import json\njson.loads('')\n")
    (package / "odd.py").write_text("\n\n(")
    Path("app_under_test_installed.py").unlink()
    sys.path.insert(0, str(package.parent))
    here = tmp_path / "here"
    here.mkdir()
    os.chdir(here)
    assert str(refusal(f"{package.name}.tasks:registry")).endswith(f"({package}/tasks.py, line 2)")
    assert str(refusal(f"{package.name}.odd:registry")).endswith(f"({package}/odd.py, line 3)")


def test_a_module_that_hides_the_one_here_is_named(write: Write) -> None:
    write("import goque\nregistry = goque.Registry()", name="json")
    said = str(refusal("json:registry"))
    assert f"module json is {json.__file__}, not ./json.py" in said


def test_an_attribute_that_raises_is_no_traceback(write: Write) -> None:
    module = write("def __getattr__(name): raise RuntimeError('later')")
    assert str(refusal(f"{module}:registry")).endswith(f"RuntimeError: later ({module}.py, line 1)")


def test_ctrl_c_during_the_import_stays_ctrl_c(write: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_registry(f"{write('raise KeyboardInterrupt')}:registry")
