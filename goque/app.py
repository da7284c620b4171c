"""Loads an application: from `module:attribute` to its registry, or to a one-line error."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from goque.app_error import explain, place
from goque.errors import ConfigurationError
from goque.registry import Registry


def load_registry(app: str) -> Registry:
    """Import the module of `module:attribute` and return the registry that the attribute holds.

    The current directory comes first on the import path, as with uvicorn and celery.

    Raises:
        ConfigurationError: there is no such registry; an error of the app is its `__cause__`.
    """
    module_name, attribute = _split(app)
    _put_current_directory_first()
    module = _import(app, module_name)
    found = _attribute(app, module, attribute)
    if not isinstance(found, Registry):
        raise ConfigurationError(
            f"app {app!r} is {_describe(found)}, not a goque.Registry{_registries_of(module)}"
        )
    return found


def check_app_name(app: str) -> None:
    """Raise ConfigurationError unless a text has the form `module:attribute`."""
    _split(app)


def _split(app: str) -> tuple[str, str]:
    module_name, colon, attribute = app.partition(":")
    if not colon:
        module = _dotted(app).removesuffix(".registry") or "myapp"
        raise ConfigurationError(f"APP must be module:attribute, not {app!r:.200}; try {module}:registry")
    if module_name.endswith(".py") or "/" in module_name:
        raise ConfigurationError(
            f"APP must name a module, not the file of {app!r:.200}; "
            f"try {_dotted(module_name)}:{attribute or 'registry'}"
        )
    for what, name in (("module", module_name), ("attribute", attribute)):
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigurationError(
                f"APP must be module:attribute, such as myapp:registry; {name!r:.200} is no {what} name"
            )
    return module_name, attribute


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")


def _put_current_directory_first() -> None:
    try:
        here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    except OSError as error:
        raise ConfigurationError("the current directory is gone; change to one that exists") from error
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)


def _import(app: str, module_name: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise  # somebody pressed Ctrl-C: not an error of the app
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and place(error, module_name) is None:
            raise ConfigurationError(_module_missing(app, module_name, error)) from error
        raise ConfigurationError(f"app {app!r} does not import: {explain(error, module_name)}") from error


def _module_missing(app: str, module_name: str, error: ModuleNotFoundError) -> str:
    head, dot, _ = module_name.partition(".")
    if dot and error.name != head:
        return f"app {app!r} cannot be found: there is no module {error.name}"
    here = [path.stem for path in Path().iterdir() if path.suffix == ".py" or path.is_dir()]
    near = difflib.get_close_matches(head, here, n=1)
    hint = f"did you mean {near[0]}?" if near else "change to its directory, or install it"
    return f"app {app!r} cannot be found: there is no module {head} here or on the import path; {hint}"


def _attribute(app: str, module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        holder = found
        try:
            found = getattr(holder, name)
        except AttributeError as error:
            known = [known for known in dir(holder) if not known.startswith("_")]
            near = difflib.get_close_matches(name, known, n=1)
            near_one = f"; did you mean {near[0]}?" if near else ""
            hint = _hides_the_one_here(module) or _registries_of(module) or near_one
            owner = f"module {module.__name__}" if holder is module else _describe(holder)
            raise ConfigurationError(
                f"app {app!r} cannot be found: {owner} has no attribute {name}{hint}"
            ) from error
        except Exception as error:
            raise ConfigurationError(
                f"app {app!r} cannot be read: {explain(error, module.__name__)}"
            ) from error
    return found


def _hides_the_one_here(module: ModuleType) -> str:
    """Return a hint if a file here has the name of a module that was imported from elsewhere."""
    mine = Path(f"{module.__name__}.py")
    found = getattr(module, "__file__", None)
    if not mine.is_file() or (found and mine.samefile(found)):
        return ""
    return f"; module {module.__name__} is {found or 'built into Python'}, not ./{mine}; rename your file"


def _registries_of(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if type(value) is Registry]
    return (
        f"; did you mean {' or '.join(f'{module.__name__}:{name}' for name in names[:3])}?" if names else ""
    )


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
