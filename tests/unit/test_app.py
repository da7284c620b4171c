"""From `module:attribute` to a registry, or to one line that says why not."""

from __future__ import annotations

import itertools
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
        ("json:dumps", "json:dumps is a function, not a goque.Registry"),
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
        ("import nosuch_dependency", "ModuleNotFoundError at {file}:1: No module named 'nosuch_dependency'"),
        ("from json import nosuch", "ImportError at {file}:1: cannot import name 'nosuch'"),
        ("\nx = = 1", "SyntaxError at {file}:2: invalid syntax"),
        ("def f():\n    1 / 0\nf()", "ZeroDivisionError at {file}:2: division by zero"),
        ("raise ValueError('first\\nsecond')", "ValueError at {file}:1: first"),
        ("import sys\nsys.exit('bye')", "sys.exit at {file}:2: bye"),
        ("raise SystemExit", "sys.exit at {file}:1"),
        ("class Odd(BaseException): pass\nraise Odd(1)", "Odd at {file}:2: 1"),
        ("class Bad(Exception):\n    def __str__(self): raise self\nraise Bad", "Bad at {file}:3"),
        ("raise KeyError('\\x1b[2J')", "KeyError at {file}:1: "),
    ],
)
def test_an_app_that_fails_at_import_is_named_with_the_place(write: Write, source: str, said: str) -> None:
    module = write(source)
    error = refusal(f"{module}:registry")
    assert str(error).startswith(f"{module}:registry does not import: {said.format(file=f'{module}.py')}")
    assert "\x1b" not in str(error)
    assert error.__cause__ is not None


def test_an_attribute_that_raises_is_no_traceback(write: Write) -> None:
    module = write("def __getattr__(name): raise RuntimeError('later')")
    assert str(refusal(f"{module}:registry")).endswith("RuntimeError: later")


def test_ctrl_c_during_the_import_stays_ctrl_c(write: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_registry(f"{write('raise KeyboardInterrupt')}:registry")
