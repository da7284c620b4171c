"""The page of limits, the forms that change them, and what other pages tell of them."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from dashboards import HOSTILE, add, do, form_of, on_every_backend, publish, settle, text_of

from goque import Rate, TaskStatus
from goque.dashboard.limit_reader import MAX_KEYS, LimitReader
from goque.storage.contract import TypePolicy
from goque.task_rules.limits import LimitChanges, Limits


def limit(storage, task_type="mail", **limits):
    policy = TypePolicy(task_type, 5, None, None, 10800.0, 604800.0, 3600.0, limits=Limits(**limits))
    storage.publish_types([policy])


def claim(storage, task_type="mail"):
    """Claim until nothing more may start; one claim shares its places among keys, and may leave some."""
    rows = []
    while some := storage.claim_due(task_type, "node-1", 10):
        rows += some
    return rows


def limits_of(storage, task_type="mail"):
    return storage.type_policies()[task_type].effective_limits


@on_every_backend
def test_each_key_is_shown_with_what_runs_what_waits_and_who_holds_its_places(dashboard, storage):
    storage.register_node("node-1", host="worker-1", pid=7)
    limit(storage, limit=4, per_key=2, rate=Rate(30, per=60, burst=9))
    for key in ("acme", "acme", "acme", "zoo", None):
        add(storage, limit_key=key)
    rows = claim(storage)
    assert len(rows) == 4
    answer = dashboard.get("/limits")
    told = text_of(answer)
    assert "At most 4 at once, 2 for each key, 30 starts in 60 s, up to 9 after a pause" in told
    assert "Running 4 of 4 Waiting 1 Next start when a place is free" in told
    assert re.search(r"acme 2 of 2 1 when a place is free …", told)
    assert re.search(r"zoo 1 of 2 0 nothing waits …", told)
    assert re.search(r"without a key 1 0 nothing waits …", told)
    for row in rows:
        assert f'href="/tasks/{row.id}"' in answer.text
    assert 'href="/nodes#node-node-1">worker-1</a>' in answer.text
    assert 'id="node-node-1"' in dashboard.get("/nodes").text


@on_every_backend
def test_a_rate_that_is_used_up_tells_when_the_next_task_starts(dashboard, storage):
    limit(storage, rate=Rate(1, per=600))
    limit(storage, "sync", rate=Rate(1, per=600, per_key=True))
    tasks = [
        add(storage),
        add(storage),
        add(storage, "sync", limit_key="a"),
        add(storage, "sync", limit_key="a"),
    ]
    assert len(storage.claim_due("mail", "node-1", 10)) == len(storage.claim_due("sync", "node-1", 10)) == 1
    told = text_of(dashboard.get("/limits?type=mail"))
    assert re.search(r"Next start in (9|10)m", told)
    told = text_of(dashboard.get("/limits?type=sync"))
    assert re.search(r"a 1 1 in (9|10)m …", told)
    waits = {one.status: one for one in (storage.get_task(task.id) for task in tasks[2:])}["new"]
    assert re.search(
        r"the next task with its key may start in (9|10)m", text_of(dashboard.get(f"/tasks/{waits.id}"))
    )


@on_every_backend
def test_the_page_of_a_task_tells_its_key_and_which_limit_holds_it_back(dashboard, storage):
    limit(storage, limit=2, per_key=1)
    first, second = add(storage, limit_key="acme"), add(storage, limit_key="acme")
    bare = add(storage)
    ids = {row.id for row in claim(storage)}
    assert bare.id in ids
    waits, runs = (second, first) if first.id in ids else (first, second)
    told = text_of(dashboard.get(f"/tasks/{waits.id}"))
    assert "Limit key acme" in told
    assert "it waits for a place: 2 of 2 tasks of its type run." in told
    assert "waits for a place" not in text_of(dashboard.get(f"/tasks/{runs.id}"))
    assert "Limit key" not in text_of(dashboard.get(f"/tasks/{bare.id}"))
    storage.set_limits("mail", LimitChanges(limit=None))
    assert "1 of 1 tasks with its key run." in text_of(dashboard.get(f"/tasks/{waits.id}"))
    storage.pause_type("mail")
    assert "the type is paused" in text_of(dashboard.get(f"/tasks/{waits.id}"))


@on_every_backend
def test_the_words_for_the_next_start_are_those_of_the_command(dashboard, storage):
    limit(storage, per_key=1)
    for key in ("acme", "acme"):
        add(storage, limit_key=key)
    assert len(claim(storage)) == 1
    told = text_of(dashboard.get("/limits"))
    assert "Waiting 1 Next start when a place is free" in told
    add(storage, limit_key="zoo", delay=3590)
    dashboard.app.state.dashboard.limits.forget()
    told = text_of(dashboard.get("/limits"))
    assert "Waiting 2 Next start when a place is free, or in 59m" in told
    assert "zoo 0 of 1 1 in 59m" in told
    storage.pause_type("mail")
    assert "Next start when it is resumed" in text_of(dashboard.get("/limits"))


def test_the_page_of_types_names_the_limit_and_leads_to_it(dashboard, storage):
    publish(storage, "sms")
    limit(storage, "mail & more", limit=20, per_key=2, rate=Rate(100, per=60))
    page = dashboard.get("/types")
    assert "limit 20, 2 per key, rate 100/60" in text_of(page)
    assert 'href="/limits?type=mail+%26+more"' in page.text or "type=mail%20%26%20more" in page.text
    assert page.text.count("/limits?type=") == 1
    assert "At most 20 at once" in text_of(dashboard.get("/limits?type=mail+%26+more"))


def test_a_queue_without_limits_says_so_and_lets_people_set_one(dashboard, storage):
    empty = text_of(dashboard.get("/limits"))
    assert "No type has limits." in empty
    assert "Limit another type" not in empty
    publish(storage, "mail")
    page = dashboard.get("/limits")
    assert "No type has limits." in text_of(page)
    assert '<option value="mail">mail</option>' in page.text
    assert "mail has no limits" in text_of(dashboard.get("/limits?type=mail"))


@on_every_backend
def test_limits_are_set_changed_and_cleared(dashboard, storage):
    limit(storage, "mail & more", limit=4, per_key=2)
    path = "/do/set-limits?type=mail+%26+more"
    answer = do(dashboard, path, limit="7", rate=" 100 / 60 ", burst="5", rate_of="key")
    assert (answer.status_code, answer.headers["location"]) == (303, "/limits")
    rate = Rate(100, per=60, burst=5, per_key=True)
    assert limits_of(storage, "mail & more") == Limits(7, 2, rate)
    changes = storage.type_policies()["mail & more"].changes
    assert changes == LimitChanges(limit=7, rate=rate)  # the limit of a key is as its processor declares it
    told = text_of(dashboard.get("/limits"))
    assert "Set limits of type mail &amp; more: at most 7 at once" in told
    assert "Set at run time Limit 7, rate 100/60 for each key, burst 5" in told
    assert "its processor declares: at most 4 at once, 2 for each key" in told
    form = dashboard.get(path).text
    assert 'name="limit" value="7"' in form
    assert 'name="rate" value="100/60"' in form
    assert '<option value="key" selected>' in form
    do(dashboard, path, limit_per_key="", rate="100/60", burst="", rate_of="type")
    assert limits_of(storage, "mail & more") == Limits(7, None, Rate(100, per=60))
    do(dashboard, path, rate="")
    assert limits_of(storage, "mail & more") == Limits(7)
    asked = text_of(dashboard.get("/do/clear-limits?type=mail+%26+more"))
    assert "Its processor declares: at most 4 at once, 2 for each key." in asked
    do(dashboard, "/do/clear-limits?type=mail+%26+more")
    assert limits_of(storage, "mail & more") == Limits(4, 2)
    assert "Set at run time" not in text_of(dashboard.get("/limits"))
    assert "/do/clear-limits" not in dashboard.get("/limits").text


def test_a_field_that_somebody_else_has_changed_meanwhile_stays_theirs(dashboard, storage):
    limit(storage, limit=4)
    fields = form_of(dashboard, "/do/set-limits?type=mail")
    storage.set_limits("mail", LimitChanges(limit=9))
    dashboard.post("/do/set-limits", data=fields | {"limit": "4", "limit_per_key": "2"})
    assert limits_of(storage) == Limits(9, 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limit": "0"}, "Limit must be a whole number from 1 up, not 0; to stop a type, pause it."),
        ({"limit": "many"}, "Limit must be a whole number from 1 up, not &#39;many&#39;."),
        ({"limit_per_key": "-1"}, "Limit_per_key must be a whole number from 1 up, not &#39;-1&#39;."),
        ({"limit": "9" * 30}, "Limit must be a whole number from 1 up, not"),
        ({"limit": "٣"}, "Limit must be a whole number from 1 up, not"),
        ({"rate": "100"}, "Rate must be starts/seconds, such as 100/60, not &#39;100&#39;."),
        ({"rate": "100/nan"}, "Rate must be starts/seconds, such as 100/60"),
        ({"rate": "1.5/60"}, "The count of a Rate must be a whole number from 1 up, not &#39;1.5&#39;."),
        ({"rate": "100/0"}, "Per of a Rate"),
        ({"rate": "100/60", "burst": "x"}, "Burst of a Rate must be a whole number from 1 up"),
        ({"burst": "5"}, "Give a rate, such as 100/60"),
        ({}, "Nothing is changed: change a field, or leave it."),
        ({"limit": HOSTILE}, "Limit must be a whole number from 1 up, not"),
    ],
)
def test_a_wrong_limit_is_told_in_one_line_above_what_was_filled_in(dashboard, storage, given, says):
    limit(storage, limit=3)
    untouched = {"limit": "3", "limit_per_key": "", "rate": "", "burst": "", "rate_of": "type"}
    answer = do(dashboard, "/do/set-limits?type=mail", **(untouched | given))
    assert answer.status_code == 400
    [problem] = re.findall(r'<p class="bad" role="alert">([^<]*)</p>', answer.text)
    assert problem.startswith(says)
    assert "\n" not in problem
    for name, value in given.items():
        if value.isalnum() and name != "rate_of":
            assert f'name="{name}" value="{value}"' in answer.text
    assert "<script>alert" not in answer.text
    assert limits_of(storage) == Limits(3)
    assert 'name="csrf"' in answer.text
    again = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', answer.text))
    assert dashboard.post("/do/set-limits", data=again | {"limit": "8"}).status_code == 303
    assert limits_of(storage).limit == 8


def test_limits_of_a_type_that_no_supervisor_has_run_are_not_set(dashboard, storage):
    publish(storage, "mail")
    for action in ("set-limits", "clear-limits"):
        answer = dashboard.get(f"/do/{action}?type=mial")
        assert answer.status_code == 400
        assert "no supervisor has run tasks of type" in text_of(answer)
        assert dashboard.get(f"/do/{action}").status_code == 400


def test_who_may_not_act_sees_limits_and_cannot_change_them(storage, backend, open_dashboard):
    publish(storage, "sms")
    limit(storage, limit=3)
    client = open_dashboard(backend.url)
    page = client.get("/limits")
    assert "At most 3 at once" in text_of(page)
    assert "/do/" not in page.text
    for action in ("set-limits", "clear-limits"):
        assert client.get(f"/do/{action}?type=mail").status_code == 403
        assert client.post(f"/do/{action}", data={"type": "mail", "limit": "9"}).status_code == 403
    assert limits_of(storage) == Limits(3)


@pytest.mark.fault(40)
@on_every_backend
def test_hostile_keys_and_types_are_inert(dashboard, storage, backend):
    limit(storage, HOSTILE, limit=9)
    for key in (HOSTILE, "x" * 255, "' \" & \u202e \U0001f600 ؤ", " ", "{{ 7 * 7 }}"):
        add(storage, HOSTILE, limit_key=key)
    control = add(storage, HOSTILE, limit_key="soon")
    blank = add(storage, HOSTILE, limit_key="acme ")
    backend.execute(f"UPDATE goque_task SET limit_key = 'a\tb\x1b[31m\x7f' WHERE id = '{control.id}'")
    ids = [row.id for row in storage.claim_due(HOSTILE, "<b>node", 3)]
    assert len(ids) == 3
    for path in (
        "/limits",
        "/types",
        f"/tasks/{ids[0]}",
        f"/tasks/{control.id}",
        f"/limits?type={HOSTILE[:40]}",
    ):
        text = dashboard.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "<b>node" not in text
    page = dashboard.get("/limits").text
    assert "x" * 255 in page
    assert "a\tb\\x1b[31m\\x7f" in page
    assert "{{ 7 * 7 }}" in page
    assert "&#34;acme &#34;" in page
    assert "&#34;acme &#34;" in dashboard.get(f"/tasks/{blank.id}").text
    for action in ("set-limits", "clear-limits"):
        asked = dashboard.get(f"/do/{action}", params={"type": HOSTILE})
        assert asked.status_code == 200
        assert "<script>alert" not in asked.text


@on_every_backend
def test_the_tasks_of_a_key_are_listed_from_the_page_of_limits(dashboard, storage):
    limit(storage, per_key=1)
    keys = ("acme ", "acme", "acme ", "acme & zoo")
    ids = [add(storage, limit_key=key).id for key in keys]
    links = re.findall(r'href="(/tasks\?[^"]*limit_key=[^"]*)"', dashboard.get("/limits").text)
    found = [re.findall(r'id="t-([^"]+)"', dashboard.get(html.unescape(link)).text) for link in links]
    assert sorted(map(sorted, found)) == sorted([sorted([ids[0], ids[2]]), [ids[1]], [ids[3]]])
    asked = text_of(dashboard.get("/do/cancel-all", params={"query": "status=new&limit_key=acme+"}))
    assert 'with the key "acme "' in html.unescape(asked)


@on_every_backend
def test_of_many_keys_the_busiest_hundred_are_shown(dashboard, storage):
    limit(storage, per_key=1)
    for number in range(MAX_KEYS + 3):
        add(storage, limit_key=f"tenant-{number:03}")
    add(storage, limit_key="tenant-102")
    page = dashboard.get("/limits")
    assert page.text.count('class="limit-key"') == MAX_KEYS
    told = text_of(page)
    assert f"And more keys: these {MAX_KEYS} have the most running and waiting tasks." in told
    assert "tenant-102 0 of 1 2 now" in told
    assert "tenant-101" not in told
    assert f"Waiting {MAX_KEYS + 4} " in told


def test_many_tasks_of_one_key_are_named_in_part(dashboard, storage):
    limit(storage, limit=50)
    for _ in range(30):
        add(storage, limit_key="acme")
    storage.claim_due("mail", "node-1", 30)
    page = dashboard.get("/limits")
    assert page.text.count('href="/tasks/') == 6
    assert "and 24 more on a node that is no longer known" in text_of(page)


@on_every_backend
def test_of_many_nodes_those_with_the_most_tasks_of_a_key_are_shown(dashboard, storage):
    limit(storage, limit=50)
    for number in range(8):
        for _ in range(1 + number // 7 * 9):
            add(storage, limit_key="acme")
        storage.register_node(f"node-{number}", host=f"host-{number}", pid=7)
        storage.claim_due("mail", f"node-{number}", 10)
    told = text_of(dashboard.get("/limits"))
    assert re.search(r"acme 17 0 nothing waits .*and 9 more on host-7 … ?\w+ on host-0", told)
    assert "on host-4 and 2 on other nodes" in told
    assert "host-6" not in told


def test_keys_take_turns_without_any_limit(dashboard, storage):
    publish(storage, "mail")
    add(storage, limit_key="acme")
    storage.settle_if_held([])
    settle(storage, TaskStatus.DONE)
    add(storage, limit_key="acme")
    storage.claim_due("mail", "node-1", 1)
    told = text_of(dashboard.get("/limits"))
    assert "No limits; its keys take turns" in told
    assert "acme 1 0 nothing waits" in told


def test_who_looks_while_others_read_gets_the_last_reading_and_after_a_change_the_new_one(storage):
    limit(storage, limit=1)
    begun, go_on = threading.Event(), threading.Event()
    has_read = False

    class Gated:
        def limit_uses(self, *, most_keys):
            nonlocal now
            found = storage.limit_uses(most_keys=most_keys)
            now += 1.0
            if has_read:
                begun.set()
                assert go_on.wait(20)
            return found

    now = 0.0
    reader = LimitReader(Gated(), clock=lambda: now)
    assert reader.uses()[0].limits == Limits(1)
    has_read, now = True, 100.0
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(reader.uses)
        assert begun.wait(20)
        assert reader.uses()[0].limits == Limits(1)
        storage.set_limits("mail", LimitChanges(limit=2))
        forgotten = threads.submit(reader.forget)
        go_on.set()
        first.result(20)
        forgotten.result(20)
    assert reader.uses()[0].limits == Limits(2)


def test_reading_takes_a_bounded_part_of_the_time(storage):
    now = 100.0
    limit(storage, limit=1)
    readings = []

    class Slow:
        def limit_uses(self, *, most_keys):
            nonlocal now
            now += 2.0
            readings.append(now)
            return storage.limit_uses(most_keys=most_keys)

    reader = LimitReader(Slow(), clock=lambda: now)
    assert [use.type for use in reader.uses()] == ["mail"]
    now += 9.9
    reader.uses()
    assert len(readings) == 1
    now += 0.2
    reader.uses()
    assert len(readings) == 2
    reader.forget()
    reader.uses()
    assert len(readings) == 3
