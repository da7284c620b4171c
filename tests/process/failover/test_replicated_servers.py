"""The servers of these tests do what they are for: they follow, refuse writes, fail over and forget."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pymysql
import pytest
from databases import on_every_server
from eventually import eventually
from galera import galera
from haproxy import haproxy
from replication import (
    ForgetfulServer,
    MariadbPair,
    PostgresqlPair,
    ask_mysql,
    ask_postgresql,
    pair_of,
    with_database,
)

from goque.storage.mysql.url import connection_options

TABLE = "CREATE TABLE noted (n int)"


@pytest.fixture
def forgetful(backend: str) -> Iterator[ForgetfulServer]:
    made = ForgetfulServer(backend)
    yield made
    made.close()


@on_every_server
def test_a_forgetful_server_loses_what_it_has_acknowledged_and_keeps_what_was_before(
    backend: str, forgetful: ForgetfulServer
) -> None:
    url = forgetful.url

    def note(number: int) -> None:
        if backend == "postgresql":
            with psycopg.connect(url) as line:
                line.execute("INSERT INTO noted VALUES (%s)", (number,))
        else:
            ask_mysql(forgetful, f"INSERT INTO noted VALUES ({number})")

    ask = ask_postgresql if backend == "postgresql" else ask_mysql
    ask(forgetful, TABLE if backend == "postgresql" else f"{TABLE} ENGINE=InnoDB")
    note(1)
    forgetful.write_nothing()
    for number in range(2, 50):
        note(number)
    if backend == "mysql":
        assert len(ask_mysql(forgetful, "SELECT n FROM noted")) == 49
    forgetful.lose_power()
    assert ask(forgetful, "SELECT n FROM noted") == [(1,)]


def test_a_synchronous_standby_that_stands_still_lets_no_commit_be_answered() -> None:
    with pair_of("postgresql", synchronous=True) as pair:
        assert isinstance(pair, PostgresqlPair)
        ask_postgresql(pair.primary, TABLE)
        pair.standby.pause()
        with psycopg.connect(pair.primary.url) as line:
            line.execute("INSERT INTO noted VALUES (1)")
            committing = threading.Thread(target=line.commit)
            committing.start()
            committing.join(3)
            assert committing.is_alive(), "the commit was answered without the standby"
            assert ask_postgresql(pair.primary, "SELECT n FROM noted") == []
            line.cancel_safe()  # ends the wait with a warning, and the commit as if the standby had it
            committing.join(5)
            assert not committing.is_alive()
        assert ask_postgresql(pair.primary, "SELECT n FROM noted") == [(1,)]
        pair.standby.resume()
        pair.wait_until_equal()
        assert ask_postgresql(pair.standby, "SELECT n FROM noted") == [(1,)]


def test_an_asynchronous_postgresql_standby_that_is_promoted_lacks_what_it_had_not_received() -> None:
    with pair_of("postgresql") as pair:
        assert isinstance(pair, PostgresqlPair)
        ask_postgresql(pair.primary, TABLE)
        ask_postgresql(pair.primary, "INSERT INTO noted VALUES (1)")
        pair.wait_until_equal()
        pair.standby.cut_off()
        ask_postgresql(pair.primary, "INSERT INTO noted VALUES (2)")
        pair.fail_over()
        assert ask_postgresql(pair.standby, "SELECT n FROM noted") == [(1,)]
        ask_postgresql(pair.standby, "INSERT INTO noted VALUES (3)")
        pair.bring_old_primary_back()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ask_postgresql(pair.primary, "INSERT INTO noted VALUES (4)")


def test_a_mariadb_replica_that_is_promoted_lacks_what_it_had_not_received() -> None:
    with pair_of("mysql") as pair:
        assert isinstance(pair, MariadbPair)
        ask_mysql(pair.primary, TABLE)
        ask_mysql(pair.primary, "INSERT INTO noted VALUES (1)")
        pair.wait_until_equal()
        pair.cut_off()
        ask_mysql(pair.primary, "INSERT INTO noted VALUES (2)")
        pair.fail_over()
        assert ask_mysql(pair.standby, "SELECT n FROM noted") == [(1,)]
        pair.bring_old_primary_back()
        app = connection_options(pair.primary.url.replace("//root@", "//app@"))
        with pymysql.connect(**app) as line, line.cursor() as cursor, pytest.raises(pymysql.OperationalError):
            cursor.execute("INSERT INTO noted VALUES (3)")


def test_a_galera_node_alone_of_two_refuses_statements_until_the_other_is_back() -> None:
    with galera() as pair:
        first, second = pair.nodes
        ask_mysql(first, f"{TABLE.replace('n int', 'n int primary key')} ENGINE=InnoDB")
        ask_mysql(first, "INSERT INTO noted VALUES (1)")
        eventually(lambda: ask_mysql(second, "SELECT n FROM noted") == [(1,)])
        ask_mysql(second, "INSERT INTO noted VALUES (2)")
        eventually(lambda: len(ask_mysql(first, "SELECT n FROM noted")) == 2)
        pair.lose_quorum()
        with pytest.raises(pymysql.OperationalError) as refusal:
            ask_mysql(first, "INSERT INTO noted VALUES (3)")
        assert refusal.value.args[0] == 1047
        pair.regain_quorum()
        ask_mysql(first, "INSERT INTO noted VALUES (3)")


def test_an_haproxy_leaves_a_server_that_is_killed() -> None:
    with (
        pair_of("postgresql") as pair,
        haproxy(pair.primary.port, pair.standby.port, cuts_sessions=True) as proxy,
    ):
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        with psycopg.connect(url) as line:
            assert line.execute("SHOW port").fetchall() == [(str(pair.primary.port),)]
        pair.fail_over()

        def port_behind() -> str:
            try:
                with psycopg.connect(url) as line:
                    return str(line.execute("SHOW port").fetchall()[0][0])
            except psycopg.OperationalError:
                return ""

        eventually(lambda: port_behind() == str(pair.standby.port))


def test_a_url_of_several_hosts_keeps_the_database_of_another() -> None:
    several = "postgresql://u@a:1,b:2/postgres"
    assert with_database(several, "postgresql://u@a:1/x?options=y") == "postgresql://u@a:1,b:2/x?options=y"
