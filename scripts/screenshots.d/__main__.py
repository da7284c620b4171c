"""scripts/screenshots: fill a queue, serve its dashboard, and take pictures of the pages in light and dark colours."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import shop
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import goque
from goque import Task
from goque.dashboard import create_app
from goque.storage import open_storage
from goque.storage.search_types import TaskSearch

PICTURES = Path(__file__).resolve().parents[2] / "docs/dashboard"
WIDE = {"width": 1280, "height": 800}
COLOURS = 256
NARROW = {"width": 390, "height": 844}


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument(
        "--browser", default=os.environ.get("GOQUE_TEST_CHROMIUM"), help="the path of chromium"
    )
    parser.add_argument("--into", type=Path, default=PICTURES, help="the folder for the pictures")
    given = parser.parse_args()
    browser = given.browser or shutil.which("chromium")
    if browser is None:
        print("screenshots: chromium is missing; install it, or pass --browser", file=sys.stderr)
        return 1
    given.into.mkdir(exist_ok=True)
    memory = Path("/dev/shm")  # a RAM disk, because replaying an hour takes some ten thousand commits
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        url = f"sqlite:///{folder}/shop.db"
        with shop.at_work(url), served(url) as base, sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                take(chromium, base, url, given.into, scheme)
            chromium.close()
    return 0


def take(browser: Browser, base: str, url: str, into: Path, scheme: str) -> None:
    """Take a picture of each page in one colour scheme."""
    crashed, failed = newest(url, "resize_image"), newest(url, "send_email")
    shots = {
        "overview": ("/?window=1h", WIDE),
        "overview-week": ("/?window=7d", WIDE),
        "types": ("/types?window=1h", WIDE),
        "type": ("/types/type?name=resize_image&window=1h", WIDE),
        "pool": ("/types/pool?name=send_email&window=24h", WIDE),
        "tasks": ("/tasks?status=error&status=attempts_left", WIDE),
        "task": (f"/tasks/{crashed}", WIDE),
        "jobs": ("/jobs", WIDE),
        "nodes": ("/nodes", WIDE),
        "phone-overview": ("/?window=1h", NARROW),
        "phone-types": ("/types?window=1h", NARROW),
        "phone-type": ("/types/type?name=send_email&window=24h", NARROW),
        "phone-jobs": ("/jobs", NARROW),
        "phone-nodes": ("/nodes", NARROW),
        "phone-tasks": ("/tasks", NARROW),
        "phone-task": (f"/tasks/{failed}", NARROW),
    }
    for name, (path, size) in shots.items():
        page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=1)
        page.goto(base + path)
        page.wait_for_load_state("networkidle")
        save(page, into / f"{name}-{scheme}.png")
        page.close()
    page = browser.new_page(viewport={"width": 1280, "height": 560}, color_scheme=scheme)
    page.goto(f"{base}/tasks/{crashed}")
    page.get_by_role("link", name="Reset…").click()
    page.get_by_role("button", name="Reset the task").wait_for()
    save(page, into / f"confirm-{scheme}.png", whole=False)
    page.close()


def save(page: Page, path: Path, *, whole: bool = True) -> None:
    """Save a picture of a page, and cut a long page."""
    tall = page.evaluate("document.documentElement.scrollHeight")
    size = page.viewport_size
    assert size is not None
    if whole:
        page.set_viewport_size({"width": size["width"], "height": max(480, min(tall, 1250))})
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")


def newest(url: str, task_type: str) -> str:
    """Return the id of the task of a type that has failed most often."""
    storage = open_storage(url)
    search = TaskSearch(
        task_type=task_type, statuses=(goque.TaskStatus.ATTEMPTS_LEFT, goque.TaskStatus.ERROR)
    )
    lines = storage.search_tasks(search).lines
    storage.close()
    return max(lines, key=lambda line: (line.attempts, line.id)).id


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve the dashboard of the shop."""
    app = create_app(registry(), database_url=url, actions=True)
    app.state.dashboard.storage.url = "sqlite:////srv/shop/goque.db"  # the pictures show no temporary path
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    try:
        while not app.state.dashboard.history.picture().is_whole:
            thread.join(0.1)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def registry() -> goque.Registry:
    """Return the part of the shop's app that the dashboard needs."""
    made = goque.Registry()
    for name, spec, zone in (
        ("nightly_report", "0 3 * * *", "Europe/Prague"),
        ("prune_carts", "@hourly", "UTC"),
        ("refresh_prices", "*/15 * * * *", "UTC"),
        ("weekly_digest", "30 7 * * mon", "Europe/Prague"),
    ):
        made.add_periodic_job(goque.cron_job(name, spec, job(name), tz=zone))
    return made


def job(name: str) -> object:
    """Return the factory of a periodic job."""

    def make(slot: datetime) -> Task:
        return Task(name, {"slot": f"{slot:%Y-%m-%d %H:%M}"})

    return make


if __name__ == "__main__":
    sys.exit(main())
