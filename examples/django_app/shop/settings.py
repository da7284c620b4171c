"""Settings: the app goque.contrib.django, and a database that it shares."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(os.environ.get("SHOP_DIRECTORY", "out")).resolve()
DIRECTORY.mkdir(parents=True, exist_ok=True)

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "not secret, and for your own machine only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
INSTALLED_APPS = ["goque.contrib.django", "shop"]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DIRECTORY / "shop.db"}}
