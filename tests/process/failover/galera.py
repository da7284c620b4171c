"""A Galera cluster of two MariaDB nodes on loopback ports; it votes, so that half of it is no quorum."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import services
from eventually import eventually
from private_servers import PrivateServer
from replication import ask_mysql, run_mariadb
from resource_limits import unable
from system_packages import GALERA

QUICK = (
    "evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.keepalive_period=PT0.5S;gmcast.peer_timeout=PT2S;"
    "pc.wait_prim_timeout=PT90S"
)
"""How soon a silent node is left out; the defaults are two and a half times as long. A node that joins waits for the
others three times as long as by default, because a loaded machine is slow."""


def provider() -> str:
    """Return the library; what is missing is an error in CI and a loud skip elsewhere."""
    for path in GALERA:
        if Path(path).exists():
            return path
    unable("no Galera; install galera-4, and MariaDB's server")
    raise AssertionError  # `unable` does not return


class GaleraNode(PrivateServer):
    """One node; it is a server like any other until `join`."""

    def __init__(self) -> None:
        super().__init__("mysql")
        self._group_port, self._transfer_port = services._free_port(), services._free_port()
        self.address = f"127.0.0.1:{self._group_port}"
        self._cluster: list[str] = []

    def start(self, **environment: str) -> None:
        self.process = run_mariadb(self.data, self.port, *self._cluster, **environment)
        self._wait_until_it_answers()

    def join(self, addresses: list[str], *, bootstrap: bool = False) -> None:
        """Start as a node of a cluster, or as the first of it."""
        here = f"gmcast.listen_addr=tcp://{self.address};ist.recv_addr=127.0.0.1:{self._transfer_port}"
        options = [
            "--wsrep-on=ON",
            f"--wsrep-provider={provider()}",
            f"--wsrep-cluster-address=gcomm://{','.join(addresses)}",
            f"--wsrep-provider-options={here};{QUICK}",
            f"--wsrep-node-address={self.address}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{services._free_port()}",  # the default is one port for all
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--innodb-flush-log-at-trx-commit=2",
        ]
        self._cluster = [*options, "--wsrep-new-cluster"] if bootstrap else options
        self.start()
        self._cluster = options
        self.wait_until_ready()

    def is_ready(self) -> bool:
        """Whether it belongs to a quorum and takes statements."""
        return ask_mysql(self, "SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]

    def wait_until_ready(self) -> None:
        """Wait until it takes statements."""
        eventually(self.is_ready, within=60)

    def wait_until_without_quorum(self) -> None:
        """Wait until it refuses statements (error 1047)."""
        eventually(lambda: not self.is_ready(), within=60)

    def size(self) -> int:
        """How many nodes it knows of."""
        [(_, number)] = ask_mysql(self, "SHOW STATUS LIKE 'wsrep_cluster_size'")
        return int(number)


class GaleraPair:
    """Two nodes that take writes; each replicates what it commits to the other first.

    Attributes:
        nodes: both; `nodes[0]` was the first.
    """

    backend = "mysql"

    def __init__(self) -> None:
        provider()
        self.nodes = (GaleraNode(), GaleraNode())
        first, second = self.nodes
        for node in self.nodes:
            node.stop()
        addresses = [node.address for node in self.nodes]
        first.join(addresses, bootstrap=True)
        first.stop()  # it has a number of the cluster's history now, and a copy of it needs no transfer
        shutil.rmtree(second.data / "db")
        _copy(first.data / "db", second.data / "db")
        (first.data / "db/grastate.dat").write_text(
            (first.data / "db/grastate.dat")
            .read_text("utf-8")
            .replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"),
            "utf-8",
        )
        first.join(addresses, bootstrap=True)
        second.join(addresses)
        eventually(lambda: [node.size() for node in self.nodes] == [2, 2], within=60)

    @property
    def url(self) -> str:
        """The URL of both."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mysql://root@{hosts}/mysql"

    def lose_quorum(self) -> None:
        """Stop the second node where it is, so that the first is half of the cluster and refuses statements."""
        self.nodes[1].pause()
        self.nodes[0].wait_until_without_quorum()

    def regain_quorum(self) -> None:
        """Let the second node go on."""
        self.nodes[1].resume()
        for node in self.nodes:
            node.wait_until_ready()
        eventually(lambda: [node.size() for node in self.nodes] == [2, 2], within=60)

    def close(self) -> None:
        """End both, and remove their data."""
        for node in reversed(self.nodes):
            node.close()


def _copy(source: Path, target: Path) -> None:
    account = services._account(*services.MYSQL_ACCOUNTS)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("galera.cache", "*.sock", "gvwstate.dat"))
    if account is not None:
        for path in (target, *target.rglob("*")):
            shutil.chown(path, account.pw_uid, account.pw_gid)


@contextlib.contextmanager
def galera() -> Iterator[GaleraPair]:
    """Make a cluster for the length of the block."""
    pair = GaleraPair()
    try:
        yield pair
    finally:
        pair.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[GaleraPair]:
    """A cluster for the tests of a module."""
    with galera() as made:
        yield made
