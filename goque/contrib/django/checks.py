"""The checks of goque for `manage.py check`."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from goque.contrib.django.databases import database_alias, storage
from goque.errors import ConfigurationError

MYSQLCLIENT = (
    "pip install 'goque[mysql]', and put `import pymysql; pymysql.install_as_MySQLdb()` into the settings"
)
PSYCOPG2 = "pip install 'goque[postgres]', which is psycopg 3; Django prefers it where both are installed"


@register
def check_database(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Check that goque can use Django's connections."""
    del app_configs, kwargs
    try:
        storage()
    except (ImproperlyConfigured, ConfigurationError) as error:
        return [Error(str(error), id="goque.E001")]
    driver = connections[database_alias()].Database.__name__.partition(".")[0]
    hints = {"MySQLdb": MYSQLCLIENT, "psycopg2": PSYCOPG2}
    if driver in hints:
        return [
            Error(
                f"Django uses {driver} for {database_alias()!r}, whose connections goque cannot share",
                hint=hints[driver],
                id="goque.E002",
            )
        ]
    return []
