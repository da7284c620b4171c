"""The dashboard in Django's admin, `manage.py goque dashboard`, and help texts that name manage.py."""

from __future__ import annotations

import re
import urllib.request

import pytest
from django_project import Project
from eventually import eventually

ADMIN = """
    INSTALLED_APPS += ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                       "django.contrib.messages", "django.contrib.sessions"]
    MIDDLEWARE = ["django.middleware.security.SecurityMiddleware",
                  "django.contrib.sessions.middleware.SessionMiddleware",
                  "django.middleware.common.CommonMiddleware",
                  "django.middleware.csrf.CsrfViewMiddleware",
                  "django.contrib.auth.middleware.AuthenticationMiddleware",
                  "django.contrib.messages.middleware.MessageMiddleware",
                  "django.middleware.clickjacking.XFrameOptionsMiddleware"]
    TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
        "context_processors": ["django.template.context_processors.request",
                               "django.contrib.auth.context_processors.auth",
                               "django.contrib.messages.context_processors.messages"]}}]
    ROOT_URLCONF = "shop.urls"
    STATIC_URL = "static/"
    ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
"""
URLS = """
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("back-office/", admin.site.urls)]
"""
VISITS = """
    from django.contrib.auth.models import User
    from django.test import Client
    from goque.contrib.django import queue

    def client_of(name, **rights):
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.filter(username=name).first() or User.objects.create(username=name, **rights))
        return client

    boss = client_of("Zoë Łuk", is_staff=True, is_superuser=True)
    clerk = client_of("clerk", is_staff=True)
    customer = client_of("customer")
    nobody = Client()
    place = "/back-office/goque/dashboard/"
"""


pytestmark = pytest.mark.xdist_group("django_admin")  # one project, which is migrated once


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    database = """{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"}"""
    made = Project(tmp_path_factory.mktemp("project"), database)
    made.add_settings(ADMIN)
    made.write("shop/urls.py", URLS)
    made.manage("migrate")
    return made


def test_staff_see_the_dashboard_in_the_admin_and_superusers_act(project: Project) -> None:
    assert "No changes detected" in project.manage("makemigrations", "--check", "--dry-run", "goque", "shop")
    assert "no issues" in project.manage("check")
    assert project.run(VISITS + """
    task = queue.enqueue("send_receipt", 7)
    for client in (boss, clerk, customer, nobody):
        index = client.get("/back-office/")
        page = client.get(place)
        print(index.status_code, f'href="{place}"' in index.content.decode(), page.status_code)
    page = boss.get(f"{place}tasks/{task.id}")
    text = page.content.decode()
    print(page.status_code, "send_receipt" in text, page["Cache-Control"], page["X-Frame-Options"])
    print("/do/cancel" in text, "/do/cancel" in clerk.get(f"{place}tasks/{task.id}").content.decode())
    print(boss.get(f"{place}tasks/nothing").status_code, boss.get(f"{place}no/such/page").status_code)
    style = boss.get(next(part for part in text.split('"') if part.startswith(place + "static/") and ".css" in part))
    print(style.status_code, style["Content-Type"].split(";")[0], style["Cache-Control"])
    """).splitlines() == [
        "200 True 200",
        "200 True 200",
        "302 False 302",
        "302 False 302",
        "200 True no-store DENY",
        "True False",
        "404 404",
        "200 text/css public, max-age=31536000, immutable",
    ]  # fmt: skip


def test_an_action_is_asked_first_needs_its_token_and_is_logged_with_djangos_user(project: Project) -> None:
    assert project.run(VISITS + """
    import logging, re, sys
    from urllib.parse import urlencode
    logging.basicConfig(stream=sys.stdout, format="%(name)s %(viewer)s", level="INFO")
    logging.getLogger("goque.dashboard").setLevel("INFO")
    logging.getLogger("django").setLevel("ERROR")
    logging.getLogger("asyncio").setLevel("ERROR")
    task = queue.enqueue("send_receipt", 7)
    do = f"{place}do/cancel"
    asked = boss.get(do, {"id": task.id}, headers={"x-goque-user": "mallory"})
    token = re.search(r'name="csrf" value="([^"]+)"', asked.content.decode())[1]
    form = {"id": task.id, "csrf": token}
    def post(client, form, **more):
        return client.post(do, urlencode(form), content_type="application/x-www-form-urlencoded", **more)
    print(post(boss, {**form, "csrf": "x" * 40}).status_code, queue.get_task(task.id).status)
    print(post(boss, form, headers={"origin": "https://evil.example"}).status_code, queue.get_task(task.id).status)
    clerk.get(place)
    own = clerk.cookies["goque_csrf"].value
    print(post(clerk, {**form, "csrf": own}).status_code, queue.get_task(task.id).status)
    done = post(boss, form)
    print(done.status_code, done["Location"].startswith(place), queue.get_task(task.id).status)
    """).splitlines() == [
        "400 new",
        "400 new",
        "403 new",
        "goque.dashboard Zoë \\u0141uk",
        "303 True canceled",
    ]  # fmt: skip


def test_without_the_extra_the_page_says_what_is_missing(project: Project) -> None:
    assert project.run(VISITS + """
    import sys
    class Missing:
        def find_spec(self, name, path, target=None):
            if name == "starlette":
                raise ModuleNotFoundError(name=name)
    sys.meta_path.insert(0, Missing())
    page = boss.get(place)
    print(page.status_code, page.content.decode().partition(": ")[2].strip())
    """) == "503 the dashboard needs more packages; pip install 'goque[dashboard]'\n"  # fmt: skip


def test_a_server_that_forks_after_the_first_page_answers_in_its_child(project: Project) -> None:
    assert project.run(VISITS + """
    import os
    from django.db import connections
    print(clerk.get(place).status_code, flush=True)
    connections.close_all()
    child = os.fork()
    if child == 0:
        print(clerk.get(place).status_code, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    """) == "200\n200\n"  # fmt: skip


def test_manage_serves_the_dashboard_on_the_projects_database(project: Project) -> None:
    project.run("from goque.contrib.django import queue; queue.enqueue('send_receipt', 7)")
    with project.running("dashboard", "goque", "dashboard", "--port", "0") as log:
        (address,) = eventually(lambda: re.findall(r"goque dashboard on (http://\S+)", log.read_text()))
        with urllib.request.urlopen(f"{address}types", timeout=10) as page:
            assert "send_receipt" in page.read().decode()
    assert "Traceback" not in log.read_text()


def test_help_and_errors_name_manage_py_and_no_app(project: Project) -> None:
    told = project.manage("goque", "supervise", "--help")
    assert "Usage: manage.py goque supervise [OPTIONS]" in told
    assert "  manage.py goque supervise --types send_email --http 127.0.0.1:9100\n" in told
    assert "`manage.py goque config --help`" in " ".join(told.split())
    overview = project.manage("goque", "--help")
    for text in (told, overview):
        words = " ".join(text.split())
        assert (
            re.findall(r"(?<!manage\.py )\bgoque (?:supervise|list|check|enqueue|top|config)\b.*", words)
            == []
        )
        assert " app:registry " not in words.replace("--app app:registry", "")
        assert max(map(len, text.splitlines())) <= 100
    assert "`manage.py goque list` shows the ids" in project.manage("goque", "show", "nothing", code=1)
    told = project.manage("goque", "run-job", code=2)
    assert "Usage: manage.py goque run-job [OPTIONS] [NAME]" in told
    assert "`manage.py goque schedules` lists them" in told
