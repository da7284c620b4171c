from __future__ import annotations

import contextlib
import traceback

import pytest

from goque.errors import ConfigurationError, GoqueError
from goque.storage import open_storage
from goque.storage.mysql.url import servers
from goque.storage.postgresql.url import connection_options
from goque.storage.url import hide_password, sqlite_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///goque.db", "goque.db"),
        ("sqlite:////var/lib/goque.db", "/var/lib/goque.db"),
        ("sqlite:///a%20b%3F.db", "a b?.db"),
        ("sqlite:///ünïcode 🎉.db", "ünïcode 🎉.db"),
    ],
)
def test_the_path_is_what_follows_the_third_slash(url, path):
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "supported are sqlite:///"),
        ("goque.db", "supported are sqlite:///"),
        ("oracle://u:secret@h/db", "supported are sqlite:///"),
        ("sqlite:goque.db", "supported are"),
        ("sqlite://goque.db", "third slash"),
        ("sqlite://", "third slash"),
        ("sqlite:///", "names no file"),
        ("sqlite:////tmp/", "names no file"),
        ("sqlite:///:memory:", "worker processes cannot see"),
        ("sqlite:///file::memory:?cache=shared", "worker processes cannot see"),
        ("sqlite:///goque.db?mode=ro", "parameters"),
        ("sqlite:///a%00b", "parameters"),
        ("postgresql://u:secret@h:port/db", "not a storage URL"),
        ("postgresql://u:secret@h/db?colour=red", "colour"),
        ("postgresql://u:secret@h/db?notify=maybe", "notify"),
        ("postgres://u:secret@[::1/db", "not a storage URL"),
        ("postgresql://u:secret@h1,h2:port/db", "not a storage URL"),
        ("postgresql://u:secret@h1,,h2/db", "a comma between hosts"),
        ("postgresql://u:secret@h1,h2:70000/db", "from 1 to 65535"),
        ("postgresql://u:secret@::1/db", "an IPv6 address goes in brackets"),
        ("postgresql://u:secret@[1.2.3.4]/db", "not an IPv6 address"),
        ("postgresql://u:secret@h1/d\nb", "control character"),
        ("mysql://u:secret@h1\t/db", "control character"),
        ("sqlite:///a\x7fb.db", "control character"),
        ("mysql://u:secret@h1,h2:port/db", "not a storage URL"),
        ("mysql://u:secret@h1,/db", "a comma between hosts"),
        ("mysql://u:secret@h1,::1/db", "an IPv6 address goes in brackets"),
        ("mysql://u:secret@h", "name one database"),
        ("mysql+pymysql://u:secret@h:port/db", "not a storage URL"),
        ("mariadb://u:secret@h/db?colour=red", "'colour' is unknown"),
        ("mysql://u:secret@h/db?connect_timeout=soon", "number of seconds"),
        ("mysql://u:secret@h/db?ssl_disabled=perhaps", "true or false"),
    ],
)
def test_a_url_that_cannot_be_opened_is_one_line_without_its_password(url, problem):
    with pytest.raises(ConfigurationError, match=problem) as refusal:
        open_storage(url)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_driver_that_is_missing_names_its_extra(monkeypatch):
    monkeypatch.setattr("goque.storage.url.importlib.util.find_spec", lambda _: None)
    for url, extra in [("postgresql://h/db", "goque[postgres]"), ("mysql://h/db", "goque[mysql]")]:
        with pytest.raises(ConfigurationError) as refusal:
            open_storage(url)
        assert f"pip install '{extra}'" in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:se:cr@et@h/db", "postgresql://u:***@h/db"),
        ("postgresql://:secret@h/db", "postgresql://:***@h/db"),
        ("postgresql://h/db?user=u&password=secret&x=1", "postgresql://h/db?user=u&password=***&x=***"),
        (
            "mysql://u@h/db?ssl_key=/k&ssl_key_password=secret&ssl_ca=/c",
            "mysql://u@h/db?ssl_key=/k&ssl_key_password=***&ssl_ca=/c",
        ),
        (
            "postgresql://h/db?oauth_client_secret=secret&sslmode=require",
            "postgresql://h/db?oauth_client_secret=***&sslmode=require",
        ),
        (
            "postgresql://h/db?scram_client_key=secret&p%61ssword=s",
            "postgresql://h/db?scram_client_key=***&p%61ssword=***",
        ),
        (
            "postgresql://h/db?options=-c%20app.secret%3Dsecret&sslkey=/k",
            "postgresql://h/db?options=-c%20app.secret=***&sslkey=/k",
        ),
        ("mysql://u@h/db", "mysql://u@h/db"),
        (" mysql://u:secret@h/db\n", "mysql://u:***@h/db"),
        ("postgresql://u:secret@h1:1,[::1]:2/db", "postgresql://u:***@h1:1,[::1]:2/db"),
        ("postgresql://h1:1,[::1]:2/db", "postgresql://h1:1,[::1]:2/db"),
        ("mysql://h1:1,root:secret/db", "mysql://h1:1,root:***"),
        ("mysql://[::1]:5,root:se,cret", "mysql://[::1]:5,root:***"),
        ("sqlite:///goque.db", "sqlite:///goque.db"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_shown(url, shown):
    assert hide_password(url) == shown


ODD = ["%", "%sure", "%zz", "@", "@@", ":", "/", "//", "://", "/@", "#", "#@", "?", "?@", "?a=b@c&", "'", '"']
MORE_ODD = [" ", " @", "%40", "%2F%", "[", "]", "[::1]@", "&password=", "\\", "€", "@h:1/", "%00"]
ODD_PASSWORDS = [f"Top{middle}S3cret" for middle in (*ODD, *MORE_ODD)]
SHAPES = [
    "postgresql://root:{}@127.0.0.1:1/db",
    "postgres://root:{}@127.0.0.1:1/db?connect_timeout=abc",
    "mysql://root:{}@127.0.0.1:port/db",
    "mysql://root:{}@127.0.0.1",
    "mysql://root:{}@127.0.0.1/db?colour=red",
    "postgresql://root:{}@127.0.0.1:1/db?colour=red",
    "oracle://root:{}@127.0.0.1/db",
    "sqlite://root:{}@127.0.0.1/db",
    "root:{}@127.0.0.1:3306/db",
    "postgres:{}@127.0.0.1:5432/db",
    "//root:{}@127.0.0.1/db",
    "mysql:root:{}@127.0.0.1/db",
    "sqlite:root:{}@127.0.0.1/db",
    "postgresql:/root:{}@127.0.0.1/db",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_url_shows_any_part_of_an_odd_password(shape):
    for password in ODD_PASSWORDS:
        url = shape.format(password)
        try:
            open_storage(url).ping()
        except GoqueError as error:
            shown = [hide_password(url), repr(error), "".join(traceback.format_exception(error))]
        else:
            pytest.fail(f"{url} was opened")
        for text in shown:
            assert "Top" not in text, (password, text)
            assert "S3cret" not in text, (password, text)


@pytest.mark.parametrize("cut", ["postgresql://root:S3cret", "root:S3cret/db", "mysql://root:S3cret/db?x=y"])
def test_a_password_is_hidden_where_the_host_was_forgotten(cut):
    assert "S3cret" not in hide_password(cut)


@pytest.mark.parametrize(
    "url", ["postgresql://root:100%sure@h/a", "postgresql://root:a@b@h/a", "mysql://root:a/b@h/a"]
)
def test_what_to_encode_in_a_password_is_said(url):
    with pytest.raises(ConfigurationError, match="percent-encode %, @, /, "):
        open_storage(url)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("sslmode=bogus", "sslmode cannot be 'bogus'"),
        ("connect_timeout=abc", "connect_timeout must be a whole number"),
        ("keepalives=abc", "keepalives must be a whole number"),
        ("ssl_min_protocol_version=9", "ssl_min_protocol_version cannot be '9'"),
        ("channel_binding=x", "channel_binding cannot be 'x'"),
    ],
)
def test_a_parameter_that_libpq_refuses_is_named_as_a_mistake_of_the_url(parameter, said, postgresql):
    with pytest.raises(ConfigurationError, match=said):
        open_storage(f"{postgresql.server}?{parameter}").ping()


@pytest.mark.parametrize("parameter", ["ssl_ca", "ssl_cert", "ssl_key"])
def test_a_tls_file_that_is_missing_is_named_with_its_parameter(parameter):
    with pytest.raises(ConfigurationError, match=f"{parameter} names the file '/nowhere/a.pem'"):
        open_storage(f"mysql://u@h/db?{parameter}=/nowhere/a.pem")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql:///shop?host=/run/postgresql", {"dbname": "shop", "host": "/run/postgresql"}),
        ("postgresql://u:p%40%2F%25@h/db", {"password": "p@/%", "host": "h"}),
        (
            "postgresql://u:p@h1:1,h2:2/db?sslmode=require",
            {"host": "h1,h2", "port": "1,2", "sslmode": "require"},
        ),
    ],
)
def test_what_libpq_understands_passes_through(url, options):
    given, _ = connection_options(url)
    assert {name: given[name] for name in options} == options


@pytest.mark.parametrize(
    ("hosts", "given"),
    [
        ("h1:1,h2:2", {"host": "h1,h2", "port": "1,2", "target_session_attrs": "read-write"}),
        ("h1,h2:2", {"host": "h1,h2", "port": ",2", "target_session_attrs": "read-write"}),
        ("[::1]:1,[fe80::2]", {"host": "::1,fe80::2", "port": "1,", "target_session_attrs": "read-write"}),
        ("h1", {"host": "h1", "target_session_attrs": None}),
        ("", {"host": None, "target_session_attrs": None}),
    ],
)
def test_libpq_gets_every_host_and_uses_one_that_takes_writes(hosts, given):
    options, _ = connection_options(f"postgresql://u:p@{hosts}/db")
    assert {name: options.get(name) for name in given} == given


def test_which_host_is_good_enough_can_be_said_otherwise(monkeypatch):
    several = "postgresql://u@h1,h2/db"
    options, _ = connection_options(f"{several}?target_session_attrs=any")
    assert options["target_session_attrs"] == "any"
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    options, _ = connection_options(several)
    assert "target_session_attrs" not in options


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("h1:1,h2", [("h1", 1), ("h2", 3306)]),
        ("u:p%40@[::1]:1,[fe80::2]", [("::1", 1), ("fe80::2", 3306)]),
        ("u:a,b@h1:1", [("h1", 1)]),
        ("", [("127.0.0.1", 3306)]),
    ],
)
def test_mysql_has_a_list_of_servers(hosts, found):
    assert servers(f"mysql://{hosts}/db") == found


def test_white_space_around_a_url_is_dropped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(open_storage(" sqlite:///a.db \n")) as storage:
        storage.migrate()
    assert [path.name for path in tmp_path.glob("*.db")] == ["a.db"]
