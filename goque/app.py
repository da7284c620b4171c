"""Loading an application: from `module:attribute` to its registry, or to one line that says why not."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from goque.errors import ConfigurationError
from goque.outcome import first_line
from goque.registry import Registry


def load_registry(app: str) -> Registry:
    """Import the module of `module:attribute` and return the registry that the attribute holds.

    The current directory comes first on the import path, as with uvicorn and celery.

    Raises:
        ConfigurationError: in one line, why there is no registry; an error of the app's is its `__cause__`.
    """
    module_name, attribute = _split(app)
    _put_current_directory_first()
    module = _import(app, module_name)
    found = _attribute(app, module, attribute)
    if not isinstance(found, Registry):
        raise ConfigurationError(f"{app} is {_describe(found)}, not a goque.Registry{_registries_of(module)}")
    return found


def _split(app: str) -> tuple[str, str]:
    module_name, colon, attribute = app.partition(":")
    if not colon:
        raise ConfigurationError(f"APP must be module:attribute, such as myapp:registry, not {app!r:.200}")
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
        raise ConfigurationError(
            f"APP must name a module, not the file of {app!r:.200}; try {dotted}:{attribute or 'registry'}"
        )
    for what, name in (("module", module_name), ("attribute", attribute)):
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigurationError(
                f"APP must be module:attribute, such as myapp:registry; {name!r:.200} is no {what} name"
            )
    return module_name, attribute


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
        raise  # somebody at the terminal lost patience: no fault of the app
    except BaseException as error:
        place = _raised_at(error)
        if isinstance(error, ModuleNotFoundError) and place is None:
            raise ConfigurationError(_module_missing(app, module_name, error)) from error
        where = f" at {place}" if place else ""
        raise ConfigurationError(f"{app} does not import: {_name(error)}{where}{_message(error)}") from error


def _raised_at(error: BaseException) -> str | None:
    """Return `file:line` of the last frame outside the import machinery, None if the app's code never ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    place = None
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if filename not in (__file__, importlib.__file__) and not filename.startswith("<frozen importlib"):
            place = f"{_short(filename)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def _short(filename: str) -> str:
    here = os.getcwd() + os.sep  # noqa: PTH109 - text is compared with text
    return filename.removeprefix(here)


def _module_missing(app: str, module_name: str, error: ModuleNotFoundError) -> str:
    head, dot, _ = module_name.partition(".")
    if dot and error.name != head:
        return f"{app} cannot be found: there is no module {error.name}"
    here = [path.stem for path in Path().iterdir() if path.suffix == ".py" or path.is_dir()]
    near = difflib.get_close_matches(head, here, n=1)
    hint = f"did you mean {near[0]}?" if near else "change to its directory, or install it"
    return f"{app} cannot be found: there is no module {head} here or on the import path; {hint}"


def _attribute(app: str, module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        holder = found
        try:
            found = getattr(holder, name)
        except AttributeError as error:
            known = [known for known in dir(holder) if not known.startswith("_")]
            near = difflib.get_close_matches(name, known, n=1)
            hint = _registries_of(module) or (f"; did you mean {near[0]}?" if near else "")
            owner = f"module {module.__name__}" if holder is module else _describe(holder)
            raise ConfigurationError(
                f"{app} cannot be found: {owner} has no attribute {name}{hint}"
            ) from error
        except Exception as error:
            raise ConfigurationError(f"{app} cannot be read: {_name(error)}{_message(error)}") from error
    return found


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


def _name(error: BaseException) -> str:
    return "sys.exit" if isinstance(error, SystemExit) else type(error).__name__


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return (
            f" (exit code {error.code})"
            if isinstance(error.code, int)
            else f": {first_line(str(error.code))}"
        )
    text = error.msg if isinstance(error, SyntaxError) else _text(error)
    return f": {first_line(text)[:500]}" if text else ""


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of the app's may fail at anything, even at being text
        return ""
