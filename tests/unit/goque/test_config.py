"""Which database URL wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque.config import DEFAULT_DATABASE_URL, Setting, read_files, resolve_app_version, resolve_database_url
from goque.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOQUE_DATABASE_URL", raising=False)


def test_each_source_gives_way_to_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_database_url() == DEFAULT_DATABASE_URL == "sqlite:///goque.db"
    assert resolve_database_url(registry_url="sqlite:///registry.db") == "sqlite:///registry.db"
    Path("pyproject.toml").write_text('[tool.goque]\ndatabase-url = "sqlite:///pyproject.db"')
    assert resolve_database_url(registry_url="sqlite:///registry.db") == "sqlite:///pyproject.db"
    Path("goque.toml").write_text('database_url = "sqlite:///own.db"')
    assert resolve_database_url(registry_url="sqlite:///registry.db") == "sqlite:///own.db"
    monkeypatch.setenv("GOQUE_DATABASE_URL", "sqlite:///environment.db")
    assert resolve_database_url(registry_url="sqlite:///registry.db") == "sqlite:///environment.db"
    assert resolve_database_url("sqlite:///flag.db") == "sqlite:///flag.db"


@pytest.mark.parametrize("text", ["", "[tool]\nother = 1", "[project]\nname = 'x'", "[tool.goque]"])
def test_a_pyproject_of_others_says_nothing(text: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert resolve_database_url() == DEFAULT_DATABASE_URL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"database_url = ", "goque.toml is not TOML"),
        (b"database_url = '\xff'", "goque.toml is not TOML"),
        (b"database_url = 3", "must be a URL"),
        (b"database_url = ''", "must be a URL"),
        (b"database_ulr = 'x'", "did you mean database_url?"),
        (b"processes = 3", "unknown key 'processes'"),
        (b"database_url = 'a'\ndatabase-url = 'b'", "keep one"),
        (b"database-url = 3", "must be a URL"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(text: bytes, said: str) -> None:
    Path("goque.toml").write_bytes(text)
    with pytest.raises(ConfigurationError, match=r"goque\.toml") as raised:
        resolve_database_url()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_goque_section_that_is_no_table_is_refused() -> None:
    Path("pyproject.toml").write_text("[tool]\ngoque = 'sqlite:///x.db'")
    with pytest.raises(ConfigurationError, match="must be a table"):
        resolve_database_url()


def test_a_file_that_cannot_be_read_is_named() -> None:
    Path("goque.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"goque\.toml cannot be read"):
        resolve_database_url()


def test_keys_and_tables_for_the_command_line_are_no_concern_of_a_queue() -> None:
    Path("goque.toml").write_text("database_url = 'sqlite:///own.db'\nnode_timeout = 5\n[list]\nlimit = 3")
    assert resolve_database_url() == "sqlite:///own.db"


def test_each_setting_knows_where_it_stands() -> None:
    Path("pyproject.toml").write_text(
        "[tool.goque]\nhttp = 'a:1'\ndrain = true\n[tool.goque.list]\nlimit = 1"
    )
    Path("goque.toml").write_text("drain = false")
    found = read_files()
    assert found.files == ["goque.toml", "[tool.goque] in pyproject.toml"]
    assert found.options["drain"] == Setting(False, "goque.toml")
    assert found.options["http"] == Setting("a:1", "[tool.goque] in pyproject.toml")
    assert found.tables["list"]["limit"] == Setting(1, "[list] in [tool.goque] in pyproject.toml")


def test_the_environment_names_the_version_of_the_app_or_else_the_registry(monkeypatch):
    monkeypatch.delenv("GOQUE_APP_VERSION", raising=False)
    assert resolve_app_version(None) is None
    assert resolve_app_version("1.0") == "1.0"
    monkeypatch.setenv("GOQUE_APP_VERSION", " 2.0 ")
    assert resolve_app_version("1.0") == "2.0"
    monkeypatch.setenv("GOQUE_APP_VERSION", " ")
    assert resolve_app_version("1.0") == "1.0"
    monkeypatch.setenv("GOQUE_APP_VERSION", "x" * 256)
    with pytest.raises(ConfigurationError, match="GOQUE_APP_VERSION must have 1 to 255 characters"):
        resolve_app_version("1.0")
