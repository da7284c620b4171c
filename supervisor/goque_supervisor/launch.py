"""Start a tree: `goque supervise` becomes its root, `Supervisor(registry)` starts the root as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self

from goque_supervisor.settings import SuperviseOptions

if TYPE_CHECKING:
    from goque.registry import Registry

DATABASE_VARIABLE: Final = "GOQUE_DATABASE_URL"

__all__ = ["SuperviseOptions", "Supervisor", "exec_supervisor"]


def exec_supervisor(options: SuperviseOptions) -> NoReturn:
    """Become the root supervisor: a new program replaces this one, with nothing but the standard library loaded.

    Raises:
        ConfigurationError: an option is wrong.
    """
    from goque.errors import ConfigurationError  # noqa: PLC0415 - the root below never needs it

    try:
        options.check()
    except ValueError as error:
        raise ConfigurationError(f"--{error}".replace("_", "-", 1)) from None
    command = _command(options.app, _pipe(options.to_json().encode()), None)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    )  # until the root handles them
    os.execve(command[0], command, _environment())  # noqa: S606 - our own interpreter


class Supervisor:
    """Runs a tree for a registry from Python; handlers may be closures and lambdas.

    Args:
        registry: what to run; it is handed to the tree over a private descriptor. Or `module:registry`, as
            `goque supervise` takes it: then the tree imports it, with the import path of this process.
        options: the options of `goque supervise`, with underscores: `drain=True`, `http="127.0.0.1:9100"`. Times are
            seconds or a timedelta, types and roles any collection of names, run_dir a text or a path.

    Raises:
        ConfigurationError: on an option that is unknown or wrong, or something else than a registry.
    """

    def __init__(self, registry: Registry | str, **options: Any) -> None:
        from goque.app import check_app_name  # noqa: PLC0415 - the same
        from goque.errors import ConfigurationError  # noqa: PLC0415 - exec_supervisor must import little
        from goque.registry import Registry  # noqa: PLC0415 - the same

        if not isinstance(registry, Registry | str):
            raise ConfigurationError(
                f"Supervisor needs 'module:registry' or a goque.Registry, not {registry!r:.80}"
            )
        app = registry if isinstance(registry, str) else ""
        if app:
            check_app_name(app)
        known = {field.name for field in fields(SuperviseOptions)} - {"app"}
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"Supervisor has no option {name!r}; it has {', '.join(sorted(known))}"
                )
        self._options = SuperviseOptions(app=app, **{name: _plain(value) for name, value in options.items()})
        if self._options.reload:
            raise ConfigurationError(
                "Supervisor cannot reload the app; run `goque supervise --reload` instead"
            )
        try:
            self._options.check()
        except ValueError as error:
            raise ConfigurationError(f"Supervisor: {error}") from None
        if self._options.database_url is not None:
            from goque.storage import open_storage  # noqa: PLC0415 - the same

            open_storage(self._options.database_url)  # refuses a wrong URL; it opens no connection yet
        self._registry = None if isinstance(registry, str) else registry
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the tree, None before its end."""
        if self._exit_code is None and self._process is not None:
            return self._process.poll()
        return self._exit_code

    @property
    def pid(self) -> int | None:
        """The process id of the root supervisor, None before `start`."""
        return self._process.pid if self._process else None

    def start(self, *, apart: bool = False) -> None:
        """Start the tree in the background, as a child of this process.

        Args:
            apart: start it in a process group of its own, so that Ctrl-C in the terminal reaches this process alone.
                This process then stops the tree in order; a second signal would stop it at once.

        Raises:
            ConfigurationError: an option names a type that the registry lacks, or it has none to run.
        """
        if self._process is not None:
            raise RuntimeError("this supervisor was started already; create a new one")
        registry = self._registry_descriptor()
        url = self._options.database_url or os.environ.get(DATABASE_VARIABLE) or None
        settings = _pipe(replace(self._options, database_url=url).to_json().encode())
        descriptors = [settings] if registry is None else [settings, registry]
        self._process = subprocess.Popen(
            _command(self._options.app, settings, registry),
            pass_fds=descriptors,
            env=_with_import_path(_environment()) if registry is None else _environment(),
            process_group=0 if apart else None,
        )
        for descriptor in descriptors:
            os.close(descriptor)

    def run(self) -> int:
        """Run the tree until it ends, and pass on the signals that a root handles. Returns the exit code."""
        if self._process is None:
            self.start()
        assert self._process is not None
        forwarded = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
        before = {number: signal.signal(number, self._forward) for number in forwarded}
        try:
            return self.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self, timeout: float | None = None) -> int:
        """Stop the tree in order and return its exit code.

        Args:
            timeout: seconds to wait; None waits the shutdown timeout and what writing the last results may take.

        Raises:
            TimeoutError: it still runs then.
        """
        if self._process is None:
            return 0
        limit = self._options.shutdown_timeout + 15 if timeout is None else timeout
        self._process.send_signal(signal.SIGTERM)
        if self.wait(limit) == -signal.SIGTERM:
            self._exit_code = (
                0  # the signal came before the root could handle it, so before anything else was started
            )
        return self._exit_code or 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the tree ends by itself, as it does with drain=True; returns its exit code.

        Args:
            timeout: seconds to wait, None for as long as it takes.

        Raises:
            TimeoutError: it still runs then.
        """
        if self._process is None:
            raise RuntimeError("this supervisor was not started")
        try:
            self._exit_code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the tree (pid {self._process.pid}) still runs after {timeout:g}s") from None
        return self._exit_code

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the tree.

        Raises:
            GoqueError: it ended with an error that no call in the block has reported yet.
        """
        told = self._exit_code is not None
        exit_code = self.stop()
        if exit_code and not told and kind is None:
            from goque.errors import GoqueError  # noqa: PLC0415 - see __init__

            raise GoqueError(f"the tree ended with exit code {exit_code}; its log shows the cause")

    def _forward(self, number: int, frame: object) -> None:
        del frame
        if self._process is not None:
            self._process.send_signal(number)

    def _registry_descriptor(self) -> int | None:
        """Write the registry into a file for the tree; None if the tree imports it."""
        if self._registry is None:
            return None
        from goque.pools.table import pools_of  # noqa: PLC0415 - see __init__

        try:
            self._options.check_names(pools_of(self._registry).pool_of)
        except ValueError as error:
            from goque.errors import ConfigurationError  # noqa: PLC0415 - see __init__

            raise ConfigurationError(str(error)) from None
        import dill  # noqa: PLC0415 - slow to import, and only this way of starting needs it

        descriptor = _anonymous_file()
        with os.fdopen(os.dup(descriptor), "wb") as file:
            dill.dump([str(Path(place).absolute()) for place in sys.path], file)
            _dump(self._registry, file)
        return descriptor


def _dump(registry: Any, file: IO[bytes]) -> None:
    """Write a registry with its closures and lambdas.

    A module that they mention is written as its name: dill would write all that is in it, which often fails.
    """
    import dill  # noqa: PLC0415 - see _registry_descriptor

    class RegistryPickler(dill.Pickler):  # type: ignore[misc]  # dill has no types
        dispatch: ClassVar = {**dill.Pickler.dispatch}

    def save_module(pickler: Any, module: ModuleType) -> None:
        pickler.save_reduce(import_module, (module.__name__,), obj=module)

    RegistryPickler.dispatch[ModuleType] = save_module
    RegistryPickler(file, recurse=True).dump(registry)


def _plain(value: Any) -> Any:
    """Return an option as JSON can hold it: a timedelta in seconds, a path as text, a set as a tuple."""
    match value:
        case timedelta():
            return value.total_seconds()
        case os.PathLike():
            return os.fspath(value)
        case list() | set() | frozenset():
            return tuple(value)
    return value


def _command(app: str, settings: int, registry: int | None) -> list[str]:
    extra = [] if registry is None else [str(registry)]
    # -P: a file in the current directory that is called like a module must not take down the root
    return [sys.executable, "-P", "-m", "goque_supervisor", app or "registry", str(settings), *extra]


def _environment() -> dict[str, str]:
    """Return the environment of the tree: ours without what the tree's processes must not inherit.

    That is the database's URL, which the options hand over: programs that handlers start would inherit it. And it is
    the entry of PYTHONPATH by which `opentelemetry-instrument` would instrument the root.
    """
    inherited = {name: value for name, value in os.environ.items() if name != DATABASE_VARIABLE}
    module = sys.modules.get("opentelemetry.instrumentation.auto_instrumentation")
    path = os.environ.get("PYTHONPATH")
    if module is None or not module.__file__ or path is None:
        return inherited
    unwanted = str(Path(module.__file__).parent)
    kept = [part for part in path.split(os.pathsep) if part != unwanted]
    return {**inherited, "PYTHONPATH": os.pathsep.join(kept)}


def _with_import_path(environment: dict[str, str]) -> dict[str, str]:
    """Add the import path of this process. The current directory comes first in the app's process by itself."""
    here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    places = [place for place in sys.path if place and place != here]
    return {**environment, "PYTHONPATH": os.pathsep.join(places)}


def _pipe(data: bytes) -> int:
    descriptor = _anonymous_file()
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _anonymous_file() -> int:
    """Make a file without a name that a program started from here inherits."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("goque", 0)
    else:
        import tempfile  # noqa: PLC0415 - macOS only

        handle, path = tempfile.mkstemp()
        Path(path).unlink()
        descriptor = handle
    os.set_inheritable(descriptor, True)
    return descriptor
