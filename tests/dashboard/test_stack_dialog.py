"""A real browser: somebody looks at a running task, again, and closes the dialog, in each layout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from dashboard_process import running_dashboard
from playwright.sync_api import expect, sync_playwright
from stack_node import answering, begin

pytestmark = pytest.mark.xdist_group("browser")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_stack_opens_in_a_dialog_and_can_be_looked_at_again(
    storage, backend, tmp_path: Path, width: int, scheme: str
) -> None:
    path = os.environ.get("GOQUE_TEST_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("NO CHROMIUM, install it, run `scripts/services up`, or set GOQUE_TEST_CHROMIUM")
    row = begin(storage)
    with (
        answering(backend.url) as asked,
        running_dashboard(tmp_path, backend.url) as dashboard,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
        page.goto(f"http://127.0.0.1:{dashboard.port}/tasks/{row.id}")
        page.get_by_role("link", name="Stack", exact=True).click()
        dialog = page.locator("#dialog")
        expect(dialog.locator("pre")).to_contain_text("image = load(path)", timeout=15_000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dialog.get_by_role("link", name="Look again").click()
        page.wait_for_function("document.querySelectorAll('#dialog pre').length === 1")
        expect(dialog.locator("pre")).to_contain_text("in resize")
        dialog.get_by_role("link", name="Close").click()
        expect(dialog).not_to_be_visible()
        expect(page.locator("h1")).to_have_text("resize")
        browser.close()
    assert set(asked) == {row.id}
