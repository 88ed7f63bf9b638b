"""The report in a real browser: it runs nothing, asks for nothing, fits a phone, and prints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nights import Night, a_night, arena_of
from playwright.sync_api import Browser, sync_playwright

from daemon.model import Decision
from daemon.report.printing import report

HOSTILE = (
    '"><script>document.title="owned"</script><img src="http://127.0.0.1:9/x" onerror="document.title=1">' + "W" * 90
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    lab = a_night(folder / "lab")
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab), champion=6)
        night.add(Decision.KEEP, 1.7, hypothesis=HOSTILE, runs=3)
        night.add(Decision.DISCARD, 1.701, hypothesis=HOSTILE)
        night.add(Decision.CRASH, None, hypothesis=HOSTILE)
    (folder / "report.html").write_text(report(lab, "all", datetime.now(UTC), "html", sigma_bpb=0.002))
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1000, "dark")])
def test_it_stands_alone_and_fits(browser: Browser, file: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert (said, asked) == ([], [file.as_uri()])
    assert page.title().startswith("lab: 2.0000 → 1.7015")
    assert page.locator("script, img, iframe, object, link").count() == 0
    assert page.locator("svg circle.kept").count() == 4 + 1, "and the legend's"
    assert page.get_by_text('document.title="owned"').count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    ink, back = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert (back == "rgb(255, 255, 255)") == (scheme == "light"), f"its style is in force: {ink} on {back}"
    page.close()


def test_it_prints(browser: Browser, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
