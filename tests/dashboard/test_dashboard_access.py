"""Who gets in: by token, by a proxy's header, under which name; mounted in another app; while the database is away."""

from __future__ import annotations

import logging
import re
import time

import pytest
from backends import make
from dashboards import add, do, form_of, status_of
from fastapi import FastAPI
from starlette.testclient import TestClient

from goque import Registry
from goque.dashboard import access, create_app
from goque.errors import ConfigurationError

TOKEN = "a-token-that-nobody-guesses"


def test_without_the_token_nobody_sees_anything(storage, backend, open_dashboard):
    task = add(storage, external_id="order-7")
    client = open_dashboard(backend.url, token=TOKEN)
    for path in ("/", "/tasks", f"/tasks/{task.id}", "/types", "/jobs", "/nodes", f"/do/cancel?id={task.id}"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert client.post("/do/cancel", data={"id": task.id}).status_code == 401
    assert "order-7" not in client.get("/login").text
    assert client.get("/static/dashboard.css").status_code == 200


def test_the_token_opens_the_page_until_somebody_signs_out(storage, backend, open_dashboard, caplog):
    logging.getLogger("goque").propagate = True
    task = add(storage)
    client = open_dashboard(backend.url, token=TOKEN)
    csrf = form_of(client, "/login")["csrf"]
    wrong = client.post("/login", data={"csrf": csrf, "token": TOKEN + "x"})
    assert (wrong.status_code, "that is not the token" in wrong.text) == (403, True)
    assert "wrong token from testclient" in caplog.text
    assert client.post("/login", data={"csrf": "", "token": TOKEN}).status_code == 403
    entered = client.post("/login", data={"csrf": csrf, "token": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "httponly; samesite=strict" in entered.headers["set-cookie"].lower()
    assert TOKEN not in entered.headers["set-cookie"]
    assert do(client, f"/do/cancel?id={task.id}").status_code == 303
    assert status_of(storage, task) == "canceled"
    assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert client.get("/").status_code == 303


def test_signing_out_ends_copies_of_the_cookie_too_and_no_other_session(storage, backend, open_dashboard):
    client = open_dashboard(backend.url, token=TOKEN)
    csrf = form_of(client, "/login")["csrf"]
    client.post("/login", data={"csrf": csrf, "token": TOKEN})
    copy, other = client.cookies["goque_session"], access.new_session(TOKEN)
    client.post("/logout", data={"csrf": csrf})
    for session, status in ((copy, 303), (other, 200)):
        client.cookies.clear()
        client.cookies.set("goque_session", session)
        assert client.get("/").status_code == status


def test_a_client_with_many_wrong_tokens_waits_and_the_log_is_not_flooded(
    storage, backend, open_dashboard, caplog
):
    logging.getLogger("goque").propagate = True
    client = open_dashboard(backend.url, token=TOKEN)
    form = {"csrf": form_of(client, "/login")["csrf"], "token": TOKEN}
    for _ in range(50):
        assert client.get("/", headers={"authorization": "Bearer wrong-token"}).status_code == 401
    refused = client.post("/login", data=form)
    assert (refused.status_code, "too many wrong tokens; wait" in refused.text) == (429, True)
    assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 401
    assert caplog.text.count("wrong token from testclient") == 5
    assert "wrong-token" not in caplog.text
    client.cookies.set("goque_session", access.new_session(TOKEN))
    assert client.get("/").status_code == 200


def test_a_session_is_sealed_and_ends(storage, backend, open_dashboard, monkeypatch):
    client = open_dashboard(backend.url, token=TOKEN)
    expired = access.new_session(TOKEN)
    for forged in (
        "",
        "1.x",
        f"{int(time.time()) + 999}.",
        access.new_session("another-token-of-somebody"),
        "९९९९९९९९९९.x",
    ):
        client.cookies.set("goque_session", forged.encode("ascii", "ignore").decode())
        assert client.get("/").status_code == 303
    client.cookies.set("goque_session", expired)
    assert client.get("/").status_code == 200
    monkeypatch.setattr(access.time, "time", lambda: 9e9)
    assert client.get("/").status_code == 303


def test_a_program_gives_the_token_in_a_header(storage, backend, open_dashboard):
    client = open_dashboard(backend.url, token=TOKEN)
    assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_proxy_says_who_is_there(storage, backend, open_dashboard, caplog):
    caplog.set_level(logging.INFO, "goque.dashboard")
    logging.getLogger("goque").propagate = True
    task = add(storage)
    client = open_dashboard(backend.url, user_header="X-Forwarded-User")
    assert client.get("/").status_code == 401
    client.headers["X-Forwarded-User"] = "ada\x1b[31m@example.com"
    assert do(client, f"/do/cancel?id={task.id}").status_code == 303
    assert "ada\\x1b[31m@example.com" in client.get("/tasks").text
    assert "ada" in caplog.text


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9180", 200), ("127.0.0.1", 200), ("[::1]:9180", 200), ("evil.example:9180", 421), ("", 421)],
)
def test_a_name_that_was_rebound_to_loopback_is_refused(storage, backend, open_dashboard, host, status):
    hosts = frozenset(("localhost", "127.0.0.1", "[::1]"))
    client = open_dashboard(backend.url, actions=True, hosts=hosts)
    answer = client.get("/tasks", headers={"host": host})
    assert answer.status_code == status
    assert (backend.url in answer.text) is (status == 200)


@pytest.mark.parametrize("given", ["Queue.example", "fd00::1", "[FD00:0::1]"])
def test_a_host_name_is_taken_as_people_write_it(storage, backend, open_dashboard, given):
    del storage
    client = open_dashboard(backend.url, actions=True, hosts=frozenset((given,)))
    sent = "queue.example:9180" if given[0] == "Q" else "[fd00::1]:9180"
    assert client.get("/tasks", headers={"host": sent}).status_code == 200


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hosts": frozenset(("queue.example:8443",))}, "without a scheme and without a port"),
        ({"hosts": frozenset(("https://queue.example",))}, "without a scheme and without a port"),
        ({"token": "short"}, "at least 16 printable ASCII characters"),
        ({"token": "ü" * 20}, "at least 16 printable ASCII characters"),
        ({"token": TOKEN, "user_header": "X-User"}, "give a token or a user header, not both"),
        ({"source": 7}, "give create_app a goque.Registry or the URL of a database"),
        ({"source": "redis://localhost"}, "redis"),
    ],
)
def test_wrong_arguments_are_refused(options, says):
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        create_app(options.pop("source", "sqlite:///never.db"), **options)


def test_it_can_be_mounted_under_a_prefix_of_another_app(storage, backend):
    task = add(storage)
    app = FastAPI()
    inner = create_app(Registry(), database_url=backend.url, actions=True)
    app.mount("/admin/queue", inner)
    with TestClient(app, follow_redirects=False) as client:
        text = client.get("/admin/queue/").text
        links = set(re.findall(r'(?:href|src|action|hx-get)="(/[^"]*)"', text))
        assert links
        assert all(link.startswith("/admin/queue/") for link in links), links
        for link in sorted(links):
            answer = client.get(link.replace("&amp;", "&"), follow_redirects=True)
            assert (answer.status_code, answer.url.path[:12]) == (200, "/admin/queue"), link
        answer = do(client, f"/admin/queue/do/cancel?id={task.id}")
        assert answer.headers["location"] == f"/admin/queue/tasks/{task.id}"
        assert (
            "path=/admin/queue;"
            in client.get("/admin/queue/tasks", headers={"cookie": ""})
            .headers.get("set-cookie", "Path=/admin/queue;")
            .lower()
        )
    assert status_of(storage, task) == "canceled"
    inner.state.dashboard.close()


def test_a_failure_of_ours_is_a_page_without_its_traceback(dashboard, monkeypatch, caplog):
    logging.getLogger("goque").propagate = True
    monkeypatch.setattr("goque.dashboard.tasks.list_page.read_query", lambda *_: 1 / 0)
    answer = dashboard.get("/tasks")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "ZeroDivisionError" in caplog.text


def test_a_database_without_tables_is_told_with_what_to_do(open_dashboard, tmp_path):
    made = make("postgresql", tmp_path)
    try:
        answer = open_dashboard(made.url).get("/")
        assert answer.status_code == 503
        assert "run `goque migrate`" in answer.text
    finally:
        made.close()
