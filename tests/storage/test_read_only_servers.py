"""A server that takes no writes: each call that writes ends with one line, and reading goes on."""

from __future__ import annotations

import pytest
from backends import SERVERS, MysqlBackend, add, make, row_of
from private_servers import PrivateServer

from goque.errors import DatabaseUnavailableError
from goque.storage import open_storage
from goque.task import Task


@pytest.fixture(params=SERVERS)
def backend(request, tmp_path):
    """A database of the test's own. On MySQL the server is its own too: read_only stops every client of a server."""
    if request.param == "mysql":
        server = PrivateServer("mysql")
        made = MysqlBackend(tmp_path, server=server.url)
        yield made
        made.close()
        server.close()
    else:
        made = make(request.param, tmp_path)
        yield made
        made.close()


@pytest.mark.fault(26)
def test_a_server_that_takes_no_writes_is_one_line_and_can_be_read(storage, backend):
    task = add(storage)
    with backend.read_only() as url:
        standby = open_storage(url)
        for call in (
            standby.rehearse_writing,
            lambda: add(standby),
            lambda: standby.insert_tasks([Task("mail"), Task("mail")]),
        ):
            with pytest.raises(DatabaseUnavailableError) as error:
                call()
            text = str(error.value)
            assert "\n" not in text
            assert "takes no writes" in text
            assert "primary" in text
            assert error.value.exit_code == 3
        assert row_of(standby, task).status == "new"
        standby.close()
