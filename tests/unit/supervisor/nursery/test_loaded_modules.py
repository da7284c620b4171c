"""Which modules the processes of a tree load: each costs memory in each of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APP = "import goque\nregistry = goque.Registry()\nregistry.add_processor('mail', {handler})\n"
ROOT = "import goque_supervisor.root.event_loop, sys; "
ACTORS = (
    "from goque_supervisor.nursery import forker; from goque_supervisor.nursery.preload_actors import import_actors; "
    "from goque_supervisor.settings import SuperviseOptions; "
    "import_actors(SuperviseOptions(database_url='sqlite:///tasks.db'{options})); "
)
WORKERS = (
    "from goque_supervisor.nursery import forker; from goque_supervisor.nursery.preload import import_app; "
    "from goque_supervisor.settings import SuperviseOptions; "
    "import_app(SuperviseOptions(app='shop:registry', database_url='sqlite:///tasks.db'), None); "
)


def loaded(program: str, folder: Path) -> set[str]:
    """Return the modules that a new interpreter has loaded at the end of a program."""
    command = [sys.executable, "-c", f"{program}; print(*sys.modules)"]
    return set(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split())


def test_the_root_loads_no_package_of_others_and_no_asyncio(tmp_path: Path) -> None:
    modules = loaded(ROOT.removesuffix("; "), tmp_path)
    assert not modules & {"msgspec", "zmq", "multiprocess", "dill", "asyncio", "sqlite3", "prometheus_client"}


def test_actors_load_prometheus_client_only_for_a_monitor(tmp_path: Path) -> None:
    program = ROOT + ACTORS
    without = loaded(program.format(options="") + "pass", tmp_path)
    assert not without & {"prometheus_client", "http.server", "ssl", "asyncio", "psycopg", "pymysql"}
    assert "prometheus_client" in loaded(program.format(options=", http='127.0.0.1:0'") + "pass", tmp_path)


def test_workers_load_asyncio_before_the_fork_if_a_handler_needs_it_and_never_without(tmp_path: Path) -> None:
    program = ROOT + WORKERS + "pass"
    (tmp_path / "shop.py").write_text(APP.format(handler="print"))
    assert not loaded(program, tmp_path) & {"asyncio", "ssl", "sqlite3", "prometheus_client"}
    (tmp_path / "shop.py").write_text("async def answer(task): ...\n" + APP.format(handler="answer"))
    assert {"asyncio", "goque_supervisor.worker.async_worker"} <= loaded(program, tmp_path)


def test_nurseries_load_what_a_start_of_a_process_needs_before_they_fork(tmp_path: Path) -> None:
    assert {"multiprocess.popen_fork", "multiprocess.util"} <= loaded(
        "import sys; from goque_supervisor.nursery import forker", tmp_path
    )
