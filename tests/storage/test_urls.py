from __future__ import annotations

import pytest

from goque.errors import ConfigurationError
from goque.storage import open_storage
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
        ("sqlite:///:memory:", "one process only"),
        ("sqlite:///file::memory:?cache=shared", "one process only"),
        ("sqlite:///goque.db?mode=ro", "parameters"),
        ("sqlite:///a%00b", "parameters"),
        ("postgresql://u:secret@h:port/db", "no storage URL"),
        ("postgresql://u:secret@h/db?colour=red", "colour"),
        ("postgresql://u:secret@h/db?notify=maybe", "notify"),
        ("postgres://u:secret@[::1/db", "no storage URL"),
        ("mysql://u:secret@h", "name one database"),
        ("mysql+pymysql://u:secret@h:port/db", "no storage URL"),
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
        ("postgresql://h/db?user=u&password=secret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("mysql://u@h/db", "mysql://u@h/db"),
        ("sqlite:///goque.db", "sqlite:///goque.db"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_shown(url, shown):
    assert hide_password(url) == shown
