"""scripts/screenshots: fill a queue, serve its dashboard, and take pictures of all pages.

Each page is taken in light and in dark colours, wide and as on a phone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import shop
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from scenes import Scenes, add_scenes

import goque
from goque import Task
from goque.dashboard import create_app
from goque.storage import open_storage
from goque.storage.search_types import TaskSearch

PICTURES = Path(__file__).resolve().parents[2] / "docs/dashboard"
SIZES = {"": ({"width": 1280, "height": 800}, 1000), "phone-": ({"width": 390, "height": 844}, 1000)}
"""By the beginning of a picture's name: the size of the window, and how tall a picture is at most."""

WIDE_ONLY = ("overview-week", "pool", "search")
"""Pages that look on a phone as others do."""


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument(
        "--browser", default=os.environ.get("GOQUE_TEST_CHROMIUM"), help="the path of chromium"
    )
    parser.add_argument("--into", type=Path, default=PICTURES, help="the folder for the pictures")
    parser.add_argument("--only", default="", help="take only the pictures whose names contain this text")
    given = parser.parse_args()
    browser = given.browser or shutil.which("chromium")
    if browser is None:
        print("screenshots: chromium is missing; install it, or pass --browser", file=sys.stderr)
        return 1
    given.into.mkdir(exist_ok=True)
    memory = Path("/dev/shm")  # a RAM disk, because replaying an hour takes some ten thousand commits
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        url = f"sqlite:///{folder}/shop.db"
        with (
            shop.at_work(url, add_scenes) as added,
            served(url) as base,
            sync_playwright() as playwright,
        ):
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                Camera(chromium, base, given.into, scheme, given.only).take_all(pages_of(url, added))
            chromium.close()
    total = sum(path.stat().st_size for path in given.into.glob("*.png"))
    print(f"together: {total // 1024} KiB")
    return 0


def pages_of(url: str, added: Scenes) -> dict[str, str]:
    """Return the paths of the pages, by the names of their pictures."""
    return {
        "overview": "/?window=1h",
        "tasks": "/tasks?status=error&status=attempts_left",
        "task": f"/tasks/{newest(url, 'resize_image')}",
        "steps": f"/tasks/{added.steps}",
        "flow": f"/flows/{added.flow}",
        "search": "/search?q=order-50",
        "overview-week": "/?window=7d",
        "failures": "/failures",
        "types": "/types?window=1h",
        "type": "/types/type?name=resize_image&window=1h",
        "pool": "/types/pool?name=send_email&window=24h",
        "limits": "/limits",
        "jobs": "/jobs",
        "nodes": "/nodes",
    }


@dataclass(frozen=True)
class Camera:
    """Takes pictures in one colour scheme."""

    browser: Browser
    base: str
    into: Path
    scheme: Literal["light", "dark"]
    only: str

    def take_all(self, pages: Mapping[str, str]) -> None:
        """Take each page in each size, and a confirmation."""
        for prefix in SIZES:
            for name, path in pages.items():
                if not prefix or name not in WIDE_ONLY:
                    self.take(prefix, name, path)
            self.take(prefix, "failure", "/failures", follow="a[href*='/failures/']")
        self.take("", "confirm", pages["task"], press="Reset…")

    def take(self, prefix: str, name: str, path: str, *, press: str = "", follow: str = "") -> None:
        """Take a picture of a page, after pressing a button or following the first of some links, if one is given."""
        file = f"{prefix}{name}-{self.scheme}.png"
        if self.only not in file:
            return
        size, most = SIZES[prefix]
        page = self.browser.new_page(viewport=size, color_scheme=self.scheme, device_scale_factor=1)
        answer = page.goto(self.base + path)
        if answer is not None and answer.ok and follow:
            answer = page.goto(self.base + (page.locator(follow).first.get_attribute("href") or path))
        if answer is None or not answer.ok:
            print(f"{file}: left out, because the dashboard has no page {path}")
        elif press:
            page.set_viewport_size({"width": size["width"], "height": 560})
            page.get_by_role("link", name=press).click()
            page.get_by_role("dialog").get_by_role("button").wait_for()
            save(page, self.into / file)
        else:
            page.wait_for_load_state("networkidle")
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": size["width"], "height": max(480, min(tall, most))})
            save(page, self.into / file)
        page.close()


def save(page: Page, path: Path) -> None:
    """Save what the window shows, with a palette of few colours, which keeps the file small."""
    page.screenshot(path=path)
    picture = Image.open(path).convert("RGB")
    # this method keeps the colours that are rare: those of statuses
    palette = picture.quantize(96, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)
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
