"""Says in one line why an app does not import: the exception, its message, and the line of the app.

Libraries often raise an error deep inside, but the reader needs the line of the app that called them. That line is
the last frame below the current directory or the app's package. Libraries installed there do not count.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from goque.task_rules.error_lines import first_line

MAX_MESSAGE: Final = 500
_GOQUE: Final = str(Path(__file__).parent)
_SUPERVISOR: Final = "goque_supervisor"
_STANDARD_LIBRARY: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_INSTALLED: Final = ("site-packages", "dist-packages")


def explain(error: BaseException, module_name: str) -> str:
    """Return `ZeroDivisionError: division by zero (shop/tasks.py, line 12)`, in one line.

    Args:
        error: the exception of the app's code.
        module_name: the app's module; its package counts as the app's code, wherever it is.
    """
    found = place(error, module_name)
    where = f" ({_short(found[0])}, line {found[1]})" if found else ""
    return f"{_name(error)}{_message(error)}{where}"


def place(error: BaseException, module_name: str) -> tuple[str, int] | None:
    """Return file and line of the app's code, else of any code; None if no code ran."""
    places = list(_places(error))
    own = [found for found in places if _is_own(found[0], module_name)]
    found = own or places
    return found[-1] if found else None


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """Yield the frames of files, outermost first, without those of the import system and of goque."""
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if not filename.startswith("<") and not _is_machinery(filename):
            yield filename, frame.tb_lineno
        frame = frame.tb_next
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        yield error.filename, error.lineno or 1


def _is_machinery(filename: str) -> bool:
    folder = Path(filename).parent
    return (
        _is_below(filename, _GOQUE)
        or folder.name == _SUPERVISOR
        or filename == importlib.__file__  # import_module() itself
    )


def _is_own(filename: str, module_name: str) -> bool:
    path = os.path.abspath(filename)  # noqa: PTH100 - text is compared with text
    if any(_is_below(path, folder) for folder in _package_folders(module_name)):
        return True
    return _is_below(path, os.getcwd()) and not _is_library(path)  # noqa: PTH109 - as above


def _is_library(path: str) -> bool:
    installed = any(name in Path(path).parts for name in _INSTALLED)
    return installed or any(_is_below(path, folder) for folder in _STANDARD_LIBRARY)


def _package_folders(module_name: str) -> list[str]:
    """Return the folders of the app's package, or the file of a single module."""
    try:
        spec = importlib.util.find_spec(module_name.partition(".")[0])
    except (ImportError, AttributeError, ValueError):
        return []  # the module cannot be found, or removed its own spec
    if spec is None:
        return []
    return list(spec.submodule_search_locations or []) or [spec.origin or ""]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _short(filename: str) -> str:
    here = os.getcwd().rstrip(os.sep) + os.sep  # noqa: PTH109 - text is compared with text
    return filename.removeprefix(here)


def _name(error: BaseException) -> str:
    return "sys.exit" if isinstance(error, SystemExit) else type(error).__name__


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return f"({'' if error.code is None else error.code})"
    text = (error.msg or "") if isinstance(error, SyntaxError) else _text(error)
    return f": {first_line(text)[:MAX_MESSAGE]}" if text else ""


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - str() of the app's exception may raise anything
        return ""
