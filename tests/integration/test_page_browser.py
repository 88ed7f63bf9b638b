"""The page in a real Chromium: errors, accessibility, what moves by itself, what works without scripts, pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_lab import facts, hostile
from page_night import ARENA, night
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from specs import REPOSITORY
from test_page_parts import answers, free_port, wait_until

from daemon.ledger import Ledger
from daemon.live import FILE, LiveFile
from daemon.observe import Claimed, PhaseEntered
from daemon.web.settings import to_json

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIEWS = ("", "progress", "experiments", "experiments/1", "experiments/88", "notebook", "program", "system", "nowhere")
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
PICTURES = REPOSITORY / "build" / "page"
HYPOTHESIS = "Halve the warm-up of Muon's momentum: with small batches its buffer is right after 40 steps."


def chromium() -> str:
    found = shutil.which("chromium")
    assert found, (
        "chromium is missing: scripts/chromium.sh installs it on Debian and Ubuntu, and `make test` calls that"
    )
    return found


@contextmanager
def served(state: Path, **changes: object) -> Iterator[str]:
    """The page's own process over a lab; yields its address."""
    lab = facts(state, port=free_port(), **changes)
    command = [sys.executable, "-I", "-m", "daemon.web.serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY, text=True)
    assert process.stdin is not None
    try:
        process.stdin.write(to_json(lab) + "\n")
        process.stdin.flush()
        wait_until(lambda: answers(lab.port))
        yield f"http://{lab.place}/"
    finally:
        process.stdin.close()
        process.wait(10)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a lab after a believable night."""
    folder = tmp_path_factory.mktemp("night") / "lab"
    state = folder / ".autoresearch"
    state.mkdir(parents=True)
    shutil.copy(REPOSITORY / "program.md", folder / "program.md")
    night(state / "ledger.sqlite")
    return state


@pytest.fixture(scope="module")
def place(lab: Path) -> Iterator[str]:
    with served(lab, tag="nov20", profile="gpu") as address:
        yield address


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(hostile(tmp_path_factory.mktemp("evil") / "lab")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Chromium's own sandbox needs user namespaces, which root in a container lacks; the page is ours.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield started
        started.close()


class Visit:
    """A tab that notes every complaint of the browser, and every address that it asked."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self._console(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "404" not in text:  # a view that is not there is asked for on purpose
            self.complaints.append(f"{kind}: {text}")


@contextmanager
def visiting(browser: Browser, size: str = "desktop", scheme: str = "light", scripts: bool = True) -> Iterator[Visit]:
    width, height = SIZES[size]
    wishes: dict[str, Any] = {"color_scheme": scheme, "java_script_enabled": scripts}
    context = browser.new_context(viewport={"width": width, "height": height}, **wishes)
    context.set_default_timeout(15_000)
    try:
        yield Visit(context)
    finally:
        context.close()


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG, A and AA."""
    page.evaluate(AXE)
    found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", TAGS)
    assert len(found["passes"]) > 5
    return [f"{v['id']}: {node['html'][:160]}" for v in found["violations"] for node in v["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_free_of_complaints(browser: Browser, place: str, view: str, scheme: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for size in SIZES if scheme == "light" else ("desktop",):  # colours do not depend on the width
        with visiting(browser, size, scheme) as visit:
            visit.page.goto(place + view)
            visit.page.wait_for_selector("html[data-heard]", state="attached")
            name = f"{(view or 'now').replace('/', '-')}-{size}-{scheme}.png"
            visit.page.screenshot(path=PICTURES / name)
            assert violations(visit.page) == []
            assert visit.complaints == []
            assert [url for url in visit.asked if not url.startswith(place)] == []
            sideways = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert sideways <= 0, "the whole page moves sideways"


@pytest.mark.parametrize(
    "view", ["", "progress", "experiments", "experiments/3", "experiments/9", "notebook", "program"]
)
def test_hostile_text_stays_text(browser: Browser, evil: str, view: str) -> None:
    with visiting(browser) as visit:
        visit.page.goto(evil + view)
        visit.page.wait_for_selector("html[data-heard]", state="attached")
        assert visit.page.locator("img").count() == 0
        assert visit.page.locator("main script").count() == 0
        assert violations(visit.page) == []
        assert visit.complaints == []
        assert [url for url in visit.asked if not url.startswith(evil)] == []


def test_the_present_moves_by_itself(browser: Browser, lab: Path, place: str) -> None:
    file = LiveFile(lab / FILE)
    try:
        with visiting(browser) as visit:
            page = visit.page
            page.goto(place)
            expect(page.locator("#state .phase")).to_have_text("No run is on.")
            file.notify(PhaseEntered(number=96, phase="training", seconds=300.0, hypothesis=HYPOTHESIS))
            file.notify(Claimed(number=96, step=100, loss=3.5, tokens_per_second=400_000.0))
            file.look()
            expect(page.locator("#state .phase")).to_contain_text("Training")
            expect(page.locator("#state .hypothesis")).to_have_text(HYPOTHESIS)
            expect(page.locator("#beat")).to_contain_text("#96 training")
            before = page.locator("#clock").text_content() or ""
            expect(page.locator("#clock")).not_to_have_text(before)
            file.notify(Claimed(number=96, step=200, loss=3.25, tokens_per_second=410_000.0))
            file.look()
            expect(page.locator(".claims")).to_contain_text("3.2500")
            assert violations(page) == []
            page.screenshot(path=PICTURES / "live-desktop-light.png")
            assert visit.complaints == []
    finally:
        (lab / FILE).unlink(missing_ok=True)


def test_a_new_experiment_comes_in_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    state = tmp_path / "lab" / ".autoresearch"
    state.mkdir(parents=True)
    night(state / "ledger.sqlite", 5)
    with served(state) as address, visiting(browser) as visit:
        visit.page.goto(address + "experiments")
        expect(visit.page.locator("#results [role=status]")).to_have_text("5 experiments")
        visit.page.evaluate("window.same = true")
        time.sleep(1.2)  # the first pulse must have been heard
        with Ledger(state / "ledger.sqlite") as ledger:
            ledger.open(arena=ARENA, base_commit="a" * 40, champion=0, program="x")
        expect(visit.page.locator("#results [role=status]")).to_have_text("6 experiments")
        assert visit.page.evaluate("window.same") is True
        assert visit.complaints == []


def test_the_filter_and_the_order(browser: Browser, place: str) -> None:
    with visiting(browser) as visit:
        page = visit.page
        page.goto(place + "experiments")
        page.get_by_label("Ended").select_option("crash")
        page.wait_for_url("**decision=crash**")
        assert set(page.locator("tbody .badge").all_text_contents()) == {"crashed"}
        page.get_by_label("Words").fill("MLP")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**q=MLP**")
        assert all("MLP" in text for text in page.locator("td.words").all_text_contents())
        page.get_by_role("link", name="everything").click()
        page.get_by_role("link", name="val_bpb").click()
        page.wait_for_url("**sort=score**")
        scores = [float(text) for text in page.locator("tbody td:nth-child(3)").all_text_contents() if text != "–"]
        assert scores == sorted(scores)
        page.get_by_role("link", name="next page").click()
        page.wait_for_url("**page=2**")
        assert visit.complaints == []


def test_the_chart_tells_a_hypothesis_by_pointer_and_by_keys(browser: Browser, place: str) -> None:
    with visiting(browser) as visit:
        page = visit.page
        page.goto(place + "progress")
        points = page.evaluate("fetch('/progress/points.json').then(answer => answer.json())")
        at = points["number"].index(5)
        box = page.locator(".chart").bounding_box()
        assert box is not None
        scale = box["width"] / 1000
        page.mouse.move(box["x"] + points["x"][at] * scale + 1, box["y"] + points["y"][at] * scale + 1, steps=3)
        expect(page.locator("#reading")).to_contain_text("#5 discarded")
        expect(page.locator("#reading")).to_contain_text("Ten layers at the same width")
        page.locator("#stairs").focus()
        page.keyboard.press("Home")
        expect(page.locator("#reading")).to_contain_text("#0 kept")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#reading")).to_contain_text("#1 kept")
        page.keyboard.press("Enter")
        page.wait_for_url("**/experiments/1")
        assert visit.complaints == []


def test_without_scripts_everything_is_there(browser: Browser, place: str) -> None:
    with visiting(browser, scripts=False) as visit:
        page = visit.page
        for view in VIEWS[:-1]:
            page.goto(place + view)
            assert page.locator("h1").count() == 1
        page.goto(place)
        expect(page.get_by_role("link", name="load it again")).to_be_visible()
        page.goto(place + "progress")
        assert page.locator(".chart a title").count() > 90
        page.goto(place + "experiments")
        page.get_by_label("Ended").select_option("keep")
        page.get_by_role("button", name="Show").click()
        assert set(page.locator("tbody .badge").all_text_contents()) == {"kept"}
        page.goto(place + "program")
        page.locator("summary").first.click()
        expect(page.locator(".diff").first).to_be_visible()


def test_it_prints(browser: Browser, place: str) -> None:
    with visiting(browser) as visit:
        visit.page.goto(place + "experiments/1")
        PICTURES.mkdir(parents=True, exist_ok=True)
        made = visit.page.pdf(path=PICTURES / "experiment.pdf")
        assert made.startswith(b"%PDF")
        visit.page.emulate_media(media="print")
        assert not visit.page.get_by_role("navigation", name="Views").is_visible()


def test_a_browser_asks_for_the_token(browser: Browser, lab: Path) -> None:
    token = "0123456789abcdef-token"
    with served(lab, token=token) as address:
        context = browser.new_context(http_credentials={"username": "me", "password": token})
        stranger = browser.new_context()
        assert context.new_page().goto(address + "progress").status == 200  # type: ignore[union-attr]
        assert stranger.request.get(address + "progress").status == 401
        context.close()
        stranger.close()


def test_a_page_of_another_site_cannot_read_it(browser: Browser, place: str, tmp_path: Path) -> None:
    port = place.rstrip("/").rpartition(":")[2]
    file = tmp_path / "evil.html"
    file.write_text("<!doctype html><title>evil</title>")
    with visiting(browser) as visit:
        visit.page.goto(file.as_uri())
        for target in (f"http://127.0.0.1:{port}/progress/points.json", f"http://localhost:{port}/live"):
            said = visit.page.evaluate(f"fetch({json.dumps(target)}).then(a => a.text()).catch(e => 'refused')")
            assert said == "refused"
