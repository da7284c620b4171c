from __future__ import annotations

import pytest

from goque.errors import DatabaseUnavailableError
from goque.storage.foreign_servers import refuse_foreign_server


@pytest.mark.parametrize(
    ("banner", "name"),
    [
        ("8.0.11-TiDB-v7.5.0", "TiDB"),
        ("CockroachDB CCL v23.2.4 (x86_64-pc-linux-gnu, built 2024/04/08)", "CockroachDB"),
        ("PostgreSQL 11.2-YB-2.20.2.0-b0 on x86_64-pc-linux-gnu", "YugabyteDB"),
    ],
)
def test_a_server_that_ignores_skip_locked_is_refused_by_name(banner: str, name: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match=f"^mysql://db is {name}, "):
        refuse_foreign_server(banner, "mysql://db")


@pytest.mark.parametrize(
    "banner",
    ["PostgreSQL 18.0 on aarch64", "10.11.14-MariaDB-0+deb12u2", "8.4.3", "8.0.36-28-Percona-XtraDB-Cluster"],
)
def test_others_are_accepted(banner: str) -> None:
    refuse_foreign_server(banner, "mysql://db")
