"""Find the database servers for the tests, or start private ones from installed binaries; see scripts/services."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pymysql
from stop_server import stop_server
from system_packages import has_browser, has_galera, has_haproxy, has_pooler, install

from goque.storage.mysql.url import connection_options

STATE = Path(__file__).resolve().parents[1] / ".venv/services.json"
START_PATIENCE = 60.0
POSTGRESQL_BINARIES = "/usr/lib/postgresql/*/bin"
POSTGRESQL_ACCOUNTS = ("postgres", "nobody")
MYSQL_ACCOUNTS = ("mysql", "nobody")
OTHER_PROGRAMS = (
    (has_pooler, "pgbouncer", "a pooler"),
    (has_haproxy, "haproxy", "failovers"),
    (has_galera, "galera-4", "a cluster"),
)


@dataclass(frozen=True)
class Server:
    """A kind of server, and how to reach, start and install it."""

    name: str
    variable: str
    default_url: str
    reach: Callable[[str], None]
    start: Callable[[Path, int], tuple[subprocess.Popen[bytes], str] | None]
    packages: tuple[str, ...]


class CannotStart(Exception):
    """An installed server did not start; the message says why."""


def main(arguments: list[str]) -> int:
    """Run the command and return the exit code."""
    commands = {"up": up, "down": down, "urls": urls}
    if len(arguments) != 1 or arguments[0] not in commands:
        print("usage: scripts/services up | down | urls", file=sys.stderr)
        return 2
    return commands[arguments[0]]()


def up() -> int:
    """Start the servers that are not running, and print their URLs."""
    state = _read_state()
    for server in SERVERS:
        problem = _ensure(server, state)
        STATE.write_text(json.dumps(state))
        if problem:
            print(f"services: {problem}", file=sys.stderr)
            return 1
        print(f"{server.name}: {_url(server, state)}", file=sys.stderr)
    for is_there, package, tests in OTHER_PROGRAMS:
        if not is_there() and not install(package):
            print(f"services: install {package}; the tests of {tests} need it", file=sys.stderr)
    if not has_browser() and not install("chromium", "fonts-liberation"):
        print("services: install chromium; the tests of the dashboard need it", file=sys.stderr)
    return 0


def reachable() -> dict[str, str]:
    """Return the URL of every reachable server, by its name."""
    state = _read_state()
    found = {server.name: _url(server, state) for server in SERVERS}
    return {
        server.name: found[server.name] for server in SERVERS if _is_reachable(server, found[server.name])
    }


def urls() -> int:
    """Print the URLs of the servers as lines for `eval`."""
    state = _read_state()
    for server in SERVERS:
        if not _is_reachable(server, _url(server, state)):
            print(
                f"services: no {server.name} at {_url(server, state)}; run scripts/services up",
                file=sys.stderr,
            )
            return 1
        print(f"export {server.variable}='{_url(server, state)}'")
    return 0


def down() -> int:
    """Stop the servers that `up` started, and remove their data."""
    for entry in _read_state().values():
        stop_server(int(entry["pid"]))
        shutil.rmtree(entry["data"], ignore_errors=True)
    STATE.unlink(missing_ok=True)
    return 0


def _ensure(server: Server, state: dict[str, dict[str, str]]) -> str | None:
    """Start a server unless it is reachable. Return None, or one line that says why it did not start."""
    url = _url(server, state)
    if _is_reachable(server, url):
        return None
    if os.environ.get(server.variable):
        return f"nothing answers at {server.variable}={url}; start that server, or unset the variable"
    state.pop(server.name, None)
    data = Path(tempfile.mkdtemp(prefix=f"goque-{server.name}-"))
    try:
        started = _start(server, data) or (install(*server.packages) and _start(server, data))
    except CannotStart as error:
        shutil.rmtree(data, ignore_errors=True)
        return f"{server.name} does not start: {error}"
    if not started:
        shutil.rmtree(data, ignore_errors=True)
        packages = " ".join(server.packages)
        return (
            f"no {server.name} server is reachable or installed; install {packages}, use compose.yaml, "
            f"or set {server.variable}"
        )
    state[server.name] = started
    return None


def _start(server: Server, data: Path) -> dict[str, str] | None:
    started = server.start(data, _free_port())
    if started is None:
        return None
    process, url = started
    end = time.monotonic() + START_PATIENCE
    while not _is_reachable(server, url):
        if process.poll() is not None or time.monotonic() > end:
            raise CannotStart(_last_words(data))
        time.sleep(0.1)
    return {"url": url, "pid": str(process.pid), "data": str(data)}


# -- PostgreSQL -----------------------------------------------------------------------------------------------


def start_postgresql(data: Path, port: int) -> tuple[subprocess.Popen[bytes], str] | None:
    """Start a private PostgreSQL. `initdb` does not run as root, so another account owns the data then."""
    found = _binaries("initdb", "postgres", under=POSTGRESQL_BINARIES)
    if found is None:
        return None
    initdb = found[0]
    account = _account(*POSTGRESQL_ACCOUNTS)
    if account is not None:
        os.chown(data, account.pw_uid, account.pw_gid)
    made = subprocess.run(
        [initdb, "-D", str(data / "db"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
        capture_output=True,
        check=False,
        **_as(account),
    )
    if made.returncode:
        raise CannotStart(made.stderr.decode(errors="replace").strip().splitlines()[-1])
    return run_postgresql(data, port), f"postgresql://postgres@127.0.0.1:{port}/postgres"


def run_postgresql(data: Path, port: int, **environment: str) -> subprocess.Popen[bytes]:
    """Run the server of a directory that `start_postgresql` has made."""
    found = _binaries("postgres", under=POSTGRESQL_BINARIES)
    assert found is not None
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    return _run(
        [found[0], "-D", str(data / "db"), *options], data, environment, **_as(_account(*POSTGRESQL_ACCOUNTS))
    )


def reach_postgresql(url: str) -> None:
    """Connect once."""
    psycopg.connect(url, connect_timeout=3).close()


# -- MySQL and MariaDB ---------------------------------------------------------------------------------------


def start_mysql(data: Path, port: int) -> tuple[subprocess.Popen[bytes], str] | None:
    """Start a private MariaDB or MySQL, whichever is installed."""
    account = _account(*MYSQL_ACCOUNTS)
    server, directory = _mysql_binary(), data / "db"
    if server is None:
        return None
    if account is not None:
        os.chown(data, account.pw_uid, account.pw_gid)
    installer = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    user = [f"--user={account.pw_name}"] if account else []
    if installer is not None:
        make = [
            installer,
            "--no-defaults",
            f"--datadir={directory}",
            "--auth-root-authentication-method=normal",
            *user,
        ]
    else:
        make = [server, "--no-defaults", "--initialize-insecure", f"--datadir={directory}", *user]
    # A private TMPDIR: a starting MariaDB deletes the temporary tables of other servers in a shared directory.
    made = subprocess.run(make, capture_output=True, check=False, env=os.environ | {"TMPDIR": str(data)})
    if made.returncode:
        raise CannotStart((made.stderr or made.stdout).decode(errors="replace").strip().splitlines()[-1])
    return run_mysql(data, port), f"mysql://root@127.0.0.1:{port}/mysql"


def run_mysql(data: Path, port: int, **environment: str) -> subprocess.Popen[bytes]:
    """Run the server of a directory that `start_mysql` has made."""
    server, account = _mysql_binary(), _account(*MYSQL_ACCOUNTS)
    assert server is not None
    options = [
        f"--datadir={data}/db",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={data}/socket",
        f"--pid-file={data}/pid",
        f"--tmpdir={data}",
    ]
    user = [f"--user={account.pw_name}"] if account else []
    return _run([server, "--no-defaults", *options, *user], data, environment)


def _mysql_binary() -> str | None:
    found = _binaries("mariadbd", under="/usr/sbin") or _binaries("mysqld", under="/usr/sbin")
    return found[0] if found else None


def reach_mysql(url: str) -> None:
    """Connect once."""
    pymysql.connect(**connection_options(url)).close()


# -- the system ------------------------------------------------------------------------------------------------


def _url(server: Server, state: dict[str, dict[str, str]]) -> str:
    return os.environ.get(server.variable) or state.get(server.name, {}).get("url") or server.default_url


def _run(
    command: list[str], data: Path, environment: dict[str, str], **options: object
) -> subprocess.Popen[bytes]:
    with (data / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | environment,
            start_new_session=True,
            **options,
        )


def _is_reachable(server: Server, url: str) -> bool:
    try:
        server.reach(url)
    except (psycopg.Error, pymysql.Error, OSError):
        return False
    return True


def _read_state() -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _binaries(*names: str, under: str) -> list[str] | None:
    folders = sorted(Path("/").glob(under.lstrip("/")), reverse=True)
    places = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    found = [shutil.which(name, path=places) for name in names]
    return [path for path in found if path] if all(found) else None


def _account(*names: str) -> pwd.struct_passwd | None:
    """Return the first existing account if this user is root, as which servers do not run; else None."""
    if os.geteuid() != 0:
        return None
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotStart(f"it does not run as root, and there is no account {' or '.join(names)}")


def _as(account: pwd.struct_passwd | None) -> dict[str, object]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_words(data: Path) -> str:
    """Return the first error in a server's log, or its last line: what follows an error is seldom of use."""
    lines = (data / "log").read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "ERROR" in line or "FATAL" in line]
    return next(iter(errors or reversed(lines)), "its log is empty")


SERVERS = (
    Server(
        "postgresql",
        "GOQUE_TEST_POSTGRES_URL",
        "postgresql://postgres@127.0.0.1:5432/test",
        reach_postgresql,
        start_postgresql,
        ("postgresql",),
    ),
    Server(
        "mysql",
        "GOQUE_TEST_MYSQL_URL",
        "mysql://root@127.0.0.1:3306/test",
        reach_mysql,
        start_mysql,
        ("mariadb-server",),
    ),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
