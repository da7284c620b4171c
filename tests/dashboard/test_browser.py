"""A real browser, a real tree, PostgreSQL: somebody filters, opens, acts, and watches a crash arrive."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from databases import Database, make_database
from eventually import eventually
from playwright.sync_api import Browser, Page, expect, sync_playwright
from proxy import Proxy
from tree import Tree, python_command, supervise_command, write_app

from goque import Flow

APP = """
@registry.processor("resize_image", workers=1, max_attempts=2, next_attempt_at=retry.static(3600))
def resize_image(task: Task) -> None:
    if task.payload.get("crash"):
        ctypes.string_at(0)
    if task.payload.get("fail"):
        raise ValueError(task.payload["fail"])

@registry.processor("send_email", workers=1)
def send_email(task: Task) -> None:
    hold(task)

@registry.processor("scan_book", workers=1)
def scan_book(task: Task) -> str:
    run = goque.current_task()
    run.step(task.payload["title"], lambda: task.payload["title"])
    for page in run.each("page", range(4)):
        run.progress((page + 1) / 5, f"page {page} of {task.payload['title']}")
    return run.wait_for("approved")

registry.add_periodic_job(goque.cron_job("nightly", "0 3 * * *", lambda: Task("resize_image", {"nightly": 1})))
"""
LONG_KEY = "<b>" + "x" * 252
HOSTILE = "</td><script>window.hostile = 1</script><img src=x onerror='window.hostile = 2'>"

pytestmark = pytest.mark.xdist_group("browser")  # one browser, one tree and one dashboard for all of them


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser: of GOQUE_TEST_CHROMIUM, or the system's; one that is missing is an error in CI."""
    path = (
        os.environ.get("GOQUE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if path is None:
        if os.environ.get("CI"):
            raise RuntimeError("no chromium; install it, or set GOQUE_TEST_CHROMIUM to its path")
        pytest.skip("NO CHROMIUM, install it, run `scripts/services up`, or set GOQUE_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tree, Database]]:
    """A tree that runs an app on PostgreSQL."""
    folder = tmp_path_factory.mktemp("shop")
    try:
        database = make_database("postgresql", folder)
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO POSTGRESQL SERVER, run `scripts/services up`: {str(error).strip()}")
    run_dir = Path(tempfile.mkdtemp(prefix="gq-"))
    write_app(folder, APP)
    tree = Tree(folder, run_dir / "run", database, supervise_command(run_dir / "run"), {})
    try:
        yield tree, database
        assert tree.stop() == 0
        tree.assert_nothing_left()
        database.assert_nobody_holds_anything()
    finally:
        tree.clean_up()
        print(tree.log)  # noqa: T201 - pytest shows it when a test failed
        shutil.rmtree(run_dir, ignore_errors=True)
        database.drop()


@pytest.fixture(scope="module")
def proxy(shop: tuple[Tree, Database]) -> Iterator[Proxy]:
    """What stands between the dashboard and its database."""
    _tree, database = shop
    with contextlib.closing(Proxy(*database.address())) as made:
        yield made


@pytest.fixture(scope="module")
def base(shop: tuple[Tree, Database], proxy: Proxy) -> Iterator[str]:
    """The address of a `goque dashboard`, which ends in order when it is asked to."""
    tree, database = shop
    command = python_command("-m", "goque.cli", "dashboard", "app:registry", "--port", "0")
    environment = os.environ | {
        "GOQUE_DATABASE_URL": database.at_port(proxy.port),
        "GOQUE_TEST_JOURNAL": str(tree.journal_directory),
    }
    environment["PYTHONPATH"] = str(Path(tree.__class__.__init__.__code__.co_filename).parent)
    said = tree.directory / "dashboard.log"
    with said.open("wb") as log:
        server = subprocess.Popen(command, cwd=tree.directory, stderr=log, env=environment)
    try:
        found = eventually(lambda: re.search(r"http://[^ ]+(?=/ )", said.read_text("utf-8")))
        yield found[0]
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
        assert "Traceback" not in said.read_text("utf-8")
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def page(chromium: Browser, base: str) -> Iterator[Page]:
    """A tab in which nothing may go wrong unseen: no error of a script, nothing that the policy forbids."""
    context = chromium.new_context(base_url=base, viewport={"width": 1280, "height": 900})
    made = context.new_page()
    complaints: list[str] = []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on(
        "console",
        lambda told: (
            complaints.append(told.text)
            if told.type == "error" and not re.search(r"status of (400|503)", told.text)
            else None
        ),
    )
    yield made
    context.close()
    assert complaints == []


def enqueue(shop: tuple[Tree, Database], task_type: str, name: str, **payload: Any) -> str:
    [task] = shop[1].enqueue(task_type, name, payload=payload)
    return task.id


def wait_for(shop: tuple[Tree, Database], name: str, status: str) -> None:
    eventually(lambda: shop[1].task(name).status == status)


def confirm(page: Page, link: str, button: str) -> None:
    page.wait_for_load_state()  # a link that is clicked before the page's script runs opens a page of its own
    page.get_by_role("link", name=link).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=button).click()


def test_somebody_filters_and_opens_a_task(page, shop):
    enqueue(shop, "resize_image", "picture-1")
    enqueue(shop, "resize_image", "picture-2", fail="no such file: 2.png")
    wait_for(shop, "picture-2", "error")
    page.goto("/tasks")
    expect(page.locator("tr[data-row]", has_text="picture-1")).to_be_visible()
    page.get_by_role("button", name=re.compile("waiting error")).click()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.get_by_label("Error").fill("no such FILE")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("status=error"))
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.get_by_role("link", name="picture-2").click()
    expect(page.get_by_role("heading", name="resize_image")).to_be_visible()
    expect(page.locator(".attempt")).to_contain_text("ValueError: no such file: 2.png")
    expect(page.locator(".attempt pre").nth(1)).to_contain_text("Traceback")


def test_a_crash_arrives_while_somebody_watches(page, shop):
    page.goto("/")
    expect(page.locator("#live-state")).to_have_text("live")
    page.evaluate("window.notReloaded = true")
    task_id = enqueue(shop, "resize_image", "picture-that-crashes", crash=True)
    arrived = page.locator(f"a.trouble[href='/tasks/{task_id}']").first
    expect(arrived).to_contain_text("SIGSEGV", timeout=20_000)
    assert page.evaluate("window.notReloaded")
    arrived.click()
    expect(page.locator(".attempt")).to_contain_text("11 (SIGSEGV)")
    expect(page.locator(".attempt pre", has_text="string_at")).to_be_visible()
    confirm(page, "Reset…", "Reset the task")
    expect(page.get_by_text(f"Reset task {task_id}.")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    expect(page.locator(".attempt")).to_have_count(2, timeout=20_000)  # it has run again, and crashed again
    assert page.evaluate("window.notReloaded")


def test_somebody_watches_a_flow_opens_a_task_from_its_drawing_and_cancels_it(page, shop):
    flow = Flow("order 7")
    first = flow.add("resize_image", {"fail": "no such file: 7.png"})
    told = flow.add("send_email", {}, needs=[flow.add("resize_image", {}, needs=[first])], delay=3600)
    flow.add("resize_image", {}, delay=3600)
    shop[1].queue.enqueue_flow(flow)
    page.goto(f"/flows/{flow.id}")
    expect(page.get_by_role("heading", name="order 7")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    expect(page.locator(".flow a.flow-retry")).to_have_count(1, timeout=20_000)
    assert page.evaluate("window.notReloaded")
    page.locator(".flow").get_by_role("link", name="send_email").click()
    expect(page.get_by_text("It waits for the end of resize_image")).to_be_visible()
    assert told.id in page.url
    page.get_by_role("link", name="order 7").click()
    confirm(page, "Cancel the flow…", "Cancel the flow")
    expect(page.get_by_text(f"Canceled 4 tasks of flow {flow.id}.")).to_be_visible()
    expect(page.locator(".flow a.flow-canceled")).to_have_count(4)


def test_what_somebody_unfolded_stays_so_while_the_page_lives(page, shop):
    task_id = enqueue(shop, "resize_image", "picture-3", fail="unfold me")
    wait_for(shop, "picture-3", "error")
    page.goto(f"/tasks/{task_id}")
    details = page.locator("details").first
    expect(details).to_have_attribute("open", "")
    details.locator("summary").click()
    expect(details).not_to_have_attribute("open", "")
    with page.expect_response(re.compile(task_id)):
        pass
    with page.expect_response(re.compile(task_id)):
        pass
    expect(details).not_to_have_attribute("open", "")


def test_somebody_watches_the_steps_of_a_task_and_resets_it_with_them(page, shop):
    task_id = enqueue(shop, "scan_book", "book-1", title=f"{HOSTILE} {'x' * 100}")
    page.goto(f"/tasks/{task_id}")
    page.evaluate("window.notReloaded = true")
    expect(page.locator(".follows")).to_contain_text(f"goque signal {task_id} approved", timeout=20_000)
    expect(page.get_by_role("progressbar")).to_be_visible()
    timeline = page.locator("table.timeline")
    expect(timeline).to_contain_text("<script>window.hostile")
    expect(timeline).to_contain_text("page-0 to page-3 4 steps")
    for scheme in ("light", "dark"):
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})
    shop[1].queue.signal(task_id, "approved", HOSTILE)
    expect(page.locator(".summary > .line .badge")).to_have_text("done", timeout=20_000)
    expect(page.locator("#signals")).to_contain_text("<script>window.hostile")
    assert page.evaluate("[window.notReloaded, window.hostile ?? null]") == [True, None]
    page.get_by_role("link", name="Reset…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Recorded steps and signals").select_option("keep")
    dialog.get_by_role("button", name="Reset the task").click()
    expect(page.get_by_text(f"Reset task {task_id} and kept its steps.")).to_be_visible()
    wait_for(shop, "book-1", "done")
    expect(page.locator("#timeline h2")).to_contain_text("5 steps")


def test_a_running_task_is_canceled(page, shop):
    task_id = enqueue(shop, "send_email", "mail-1")
    wait_for(shop, "mail-1", "processing")
    page.goto(f"/tasks/{task_id}")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("link", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert shop[1].task("mail-1").status == "processing"
    confirm(page, "Cancel…", "Cancel the task")
    expect(page.locator(".summary .badge")).to_have_text("canceled")
    eventually(lambda: shop[1].task("mail-1").claimed_by is None)


def test_a_type_is_paused_and_goes_on(page, shop):
    page.goto("/types")
    row = page.locator("tr", has_text="resize_image")
    row.get_by_role("link", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    enqueue(shop, "resize_image", "picture-4")
    page.goto("/tasks?external_id=picture-4")
    expect(page.locator("tr[data-row] .badge")).to_have_text("waiting")
    page.goto("/types")
    row.get_by_role("link", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    page.goto("/tasks?external_id=picture-4")
    expect(page.locator("tr[data-row] .badge")).to_have_text("done", timeout=20_000)


def test_a_limit_is_set_seen_live_and_cleared(page, shop):
    page.goto("/limits")
    expect(page.get_by_text("No type has limits.")).to_be_visible()
    page.get_by_label("Limit another type").select_option("send_email")
    page.get_by_role("button", name="Set limits…").click()
    most = page.get_by_label("At most so many at once", exact=True)
    most.fill("none")
    page.get_by_role("button", name="Set limits").click()
    with_problem = page.get_by_role("alert")
    expect(with_problem).to_have_text("Limit must be a whole number from 1 up, not 'none'.")
    expect(most).to_have_value("none")
    most.fill("1")
    page.get_by_role("button", name="Set limits").click()
    expect(page.locator(".said")).to_contain_text("Set limits of type send_email: at most 1 at once")
    page.evaluate("window.notReloaded = true")
    [first] = shop[1].enqueue("send_email", "of-acme", limit_key="acme")
    key = page.locator(".limit-keys tr", has_text="acme")
    expect(key.get_by_role("link", name=f"…{first.id[-8:]}")).to_be_visible(timeout=20_000)
    shop[1].enqueue("send_email", "of-another", limit_key=LONG_KEY)
    waits = page.locator(".limit-keys tr", has_text=LONG_KEY)
    expect(waits).to_contain_text("when a place is free", timeout=20_000)
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
    shop[0].let_go("of-acme", "of-another")
    expect(page.locator(".limited dd", has_text="of 1")).to_have_text("0 of 1", timeout=20_000)
    assert page.evaluate("window.notReloaded")
    confirm(page, "Clear…", "Clear")
    expect(page.locator(".said")).to_contain_text("no limits", timeout=20_000)


def test_all_that_failed_are_reset_at_once(page, shop):
    for number in range(5):
        enqueue(shop, "resize_image", f"many-{number}", fail="one of many")
    for number in range(5):
        wait_for(shop, f"many-{number}", "error")
    page.goto("/tasks?status=error&error=one+of+many")
    confirm(page, "Reset all…", "Reset all")
    expect(page.locator(".bulk")).to_contain_text("5 moved: finished", timeout=20_000)
    for number in range(5):
        eventually(lambda number=number: "reset attempts" in (shop[1].task(f"many-{number}").errors or ""))


def test_a_job_is_run_now(page, shop):
    page.goto("/jobs")
    expect(page.locator("tr", has_text="nightly")).to_contain_text("0 3 * * * UTC")
    confirm(page, "Run now", "Run it")
    expect(page.locator(".said")).to_contain_text("of job nightly")
    eventually(
        lambda: any(
            task.external_id.startswith("nightly:run:") and task.status == "done" for task in shop[1].tasks()
        )
    )


def test_the_tree_is_shown_with_what_it_runs(page, shop):
    task_id = enqueue(shop, "send_email", "mail-2")
    page.goto("/nodes")
    running = page.locator(".node-pool", has_text="send_email").locator(".workers li.busy")
    expect(running.get_by_role("link")).to_have_attribute("href", f"/tasks/{task_id}", timeout=20_000)
    expect(page.locator("tr", has_text="fetcher[send_email]")).to_be_hidden()
    page.get_by_text("processes of goque itself").click()
    expect(page.locator("tr", has_text="fetcher[send_email]")).to_be_visible()
    page.get_by_role("link", name="send_email").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pool send_email")
    expect(page.locator(".workers li.busy").get_by_role("link")).to_have_attribute(
        "href", f"/tasks/{task_id}"
    )
    shop[0].let_go("mail-2")
    wait_for(shop, "mail-2", "done")


def test_somebody_looks_at_a_week_and_opens_a_type(page, shop):
    enqueue(shop, "resize_image", "picture-of-the-week", fail="no such picture")
    wait_for(shop, "picture-of-the-week", "error")
    page.goto("/")
    page.get_by_role("link", name="7d").click()
    expect(page.get_by_role("navigation", name="Time shown").locator("[aria-current]")).to_have_text("7d")
    # the node writes what it has run every 20 seconds, and the page keeps itself up to date
    run_time = page.locator(".tile", has_text="Run time")
    expect(run_time).to_contain_text(re.compile("p50 · p95 .* m?s"), timeout=40_000)
    expect(page.locator("figure", has_text="Ended, each 2h").locator("rect.failed")).to_be_visible()
    page.locator("table.types").get_by_role("link", name="resize_image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Type resize_image")
    expect(page.locator("#live")).to_contain_text("no such picture")
    page.get_by_role("link", name="24h").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Type resize_image")
    expect(page.locator("figure", has_text="Ended, each 30m")).to_be_visible()


def test_keys_lead_through_the_pages(page, shop):
    enqueue(shop, "resize_image", "picture-5")
    wait_for(shop, "picture-5", "done")
    page.goto("/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page).to_have_url(re.compile("/tasks$"))
    page.wait_for_load_state()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("resize_im")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("type=resize_image"))
    page.wait_for_load_state()
    page.keyboard.press("j")
    expect(page.locator("tr.selected")).to_have_count(1)
    page.keyboard.press("x")
    expect(page.locator("tr.selected input")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/tasks/[0-9a-f-]{36}$"))
    page.wait_for_load_state()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_the_list_stays_while_somebody_reads_and_ticks_it(page, shop):
    for number in range(3):
        enqueue(shop, "resize_image", f"ticked-{number}", fail="to be ticked")
        wait_for(shop, f"ticked-{number}", "error")
    page.goto("/tasks")
    page.evaluate("window.notReloaded = true")
    rows = page.locator("tr[data-row]")
    first = rows.first.get_attribute("id")
    page.get_by_label("Tick ticked-0").check()
    page.get_by_label("Tick ticked-2").check()
    enqueue(shop, "resize_image", "comes-later")
    expect(page.get_by_role("link", name="1 newer task")).to_be_visible(timeout=20_000)
    assert rows.first.get_attribute("id") == first
    expect(page.get_by_label("Tick ticked-0")).to_be_checked()
    expect(page.get_by_label("Tick ticked-1")).not_to_be_checked()
    expect(page.get_by_label("Tick ticked-2")).to_be_checked()
    assert page.evaluate("window.notReloaded")
    page.get_by_role("button", name="Cancel ticked…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel these 2 tasks?")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".said")).to_have_text("Canceled 2 tasks.")
    assert [shop[1].task(f"ticked-{number}").status for number in range(3)] == [
        "canceled",
        "error",
        "canceled",
    ]
    expect(page.locator("tr[data-row]", has_text="comes-later")).to_be_visible()


def test_one_tick_ticks_the_whole_page(page, shop):
    enqueue(shop, "resize_image", "all-of-them")
    page.goto("/tasks")
    boxes = page.locator(".tick input[name=id]")
    expect(page.get_by_role("button", name="Reset ticked…")).to_be_hidden()
    page.get_by_label("Tick all tasks of this page").check()
    assert boxes.evaluate_all("all => all.every(one => one.checked)")
    expect(page.get_by_role("button", name="Reset ticked…")).to_be_visible()
    page.get_by_label("Tick all tasks of this page").uncheck()
    assert boxes.evaluate_all("all => all.every(one => !one.checked)")


def test_somebody_searches_for_an_external_id_and_runs_a_copy(page, shop):
    task_id = enqueue(shop, "resize_image", "searched-1", width=7)
    wait_for(shop, "searched-1", "done")
    page.goto("/")
    page.get_by_label("Search").fill("searched-")
    page.get_by_label("Search").press("Enter")
    expect(page).to_have_url(re.compile(f"/tasks/{task_id}$"))
    expect(page.locator("#timeline")).to_contain_text("after it was due")
    confirm(page, "Run a copy…", "Run a copy")
    expect(page.locator(".said")).to_contain_text(f"a copy of task {task_id}")
    assert task_id not in page.url
    expect(page.locator("#payload")).to_contain_text('"width": 7')
    expect(page.locator(".summary > .line .badge")).to_have_text("done", timeout=20_000)


def test_somebody_copies_an_id_and_a_payload(page, shop, base):
    task_id = enqueue(shop, "resize_image", "copied-1", width=8)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
    page.goto(f"/tasks/{task_id}")
    page.locator("h1 + p .copy").click()
    expect(page.locator("h1 + p .copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == task_id
    page.locator("h2", has_text="Payload").get_by_role("button").click()
    expect(page.locator("h2", has_text="Payload").get_by_role("button")).to_have_text("Copied")
    assert '"width": 8' in page.evaluate("navigator.clipboard.readText()")


def test_the_chosen_colours_are_kept(page, shop):
    del shop
    paper = "getComputedStyle(document.body.parentElement).backgroundColor"
    page.emulate_media(color_scheme="light")
    page.goto("/tasks")
    light = page.evaluate(paper)
    page.get_by_role("button", name="dark").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.goto("/types")
    assert page.evaluate(paper) == dark
    expect(page.get_by_role("button", name="dark")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="system").click()
    assert page.evaluate(paper) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="light").click()
    page.reload()
    assert page.evaluate(paper) == light


def test_local_times_stand_beside_utc(chromium, base, shop):
    task_id = enqueue(shop, "resize_image", "far-away")
    context = chromium.new_context(base_url=base, timezone_id="Australia/Adelaide")
    page = context.new_page()
    page.goto(f"/tasks/{task_id}")
    created = page.locator("time.full").first
    utc = datetime.fromisoformat(created.get_attribute("datetime"))
    local = utc.astimezone(ZoneInfo("Australia/Adelaide"))
    expect(created).to_have_attribute("data-local", re.compile(rf"{local:%H:%M:%S} local$"))
    expect(page.locator("#zone")).to_have_text(", local times are Australia/Adelaide")
    with page.expect_response(re.compile(task_id)):
        pass
    expect(created).to_have_attribute("data-local", re.compile(rf"{local:%H:%M:%S} local$"))
    page.goto("/tasks")
    expect(page.locator("td.when time").first).to_have_attribute("title", re.compile("UTC, .* local$"))
    context.close()


def test_pages_work_without_scripts(chromium, base, shop):
    task_id = enqueue(shop, "resize_image", "without-scripts", fail="no script")
    wait_for(shop, "without-scripts", "error")
    context = chromium.new_context(base_url=base, java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Search").fill("without-scripts")
    page.get_by_label("Search").press("Enter")
    expect(page).to_have_url(re.compile(f"/tasks/{task_id}$"))
    expect(page.get_by_role("button", name="Copy").first).to_be_hidden()
    expect(page.get_by_role("button", name="dark")).to_be_hidden()
    page.goto("/tasks?type=resize_image&status=error")
    page.get_by_label("Tick without-scripts").check()
    page.get_by_role("button", name="Reset ticked…").click()
    expect(page.get_by_role("heading", name="Reset this task?")).to_be_visible()
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator(".said")).to_have_text("Reset 1 task.")
    context.close()


@pytest.mark.fault(40)
def test_hostile_text_runs_nothing(page, shop):
    [task] = shop[1].enqueue(HOSTILE, HOSTILE, payload={"html": HOSTILE})
    failing = enqueue(shop, "resize_image", f"{HOSTILE}-2", fail=HOSTILE)
    wait_for(shop, f"{HOSTILE}-2", "error")
    for path in ("/", "/types", "/tasks", f"/tasks/{task.id}", f"/tasks/{failing}", "/tasks?status=error"):
        page.goto(path)
        expect(page.locator("#live")).to_contain_text("<script>window.hostile")
        assert page.evaluate("window.hostile") is None
    shop[1].queue.cancel_task(task.id)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone(page, shop, scheme):
    task_id = enqueue(shop, "resize_image", f"phone-{scheme}-{'x' * 200}", fail="y" * 300)
    wait_for(shop, f"phone-{scheme}-{'x' * 200}", "error")
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    searches = (f"/search?q=phone-{scheme}", "/search?q=nothing-like-that")
    pages = ("/types", "/types/type?name=resize_image", "/types/pool?name=send_email", "/jobs", "/nodes")
    for path in ("/", "/?window=7d", "/limits", "/tasks", f"/tasks/{task_id}", *searches, *pages):
        page.goto(path)
        expect(page.locator("#live")).to_be_visible()
        for width in (360, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


def test_a_database_that_goes_away_shows_and_comes_back(page, shop, proxy):
    page.goto("/tasks")
    expect(page.locator("#live-state")).to_have_text("live")
    proxy.cut_off()
    expect(page.get_by_role("heading", name="The database does not answer")).to_be_visible(timeout=30_000)
    expect(page.locator("#live-state")).to_have_text("no database")
    proxy.join()
    expect(page.locator("tr[data-row]").first).to_be_visible(timeout=30_000)
    expect(page.locator("#live-state")).to_have_text("live")
