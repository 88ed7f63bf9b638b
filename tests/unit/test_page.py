"""The page's views over a ledger in which everybody was hostile, and who is let in."""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_lab import ENDINGS, HOSTILE, SECRET, VIEWS, client, facts, hostile
from specs import REPOSITORY
from starlette.testclient import TestClient
from values import scored

from daemon import live
from daemon.ledger import Ledger
from daemon.ledger.looking import Looking, Wanted
from daemon.ledger.schema import LedgerError
from daemon.model import UserError
from daemon.web import settings as page_settings
from daemon.web.guard import POLICY
from daemon.web.words import SAID

EXPERIMENTS = tuple(f"/experiments/{number}" for number in range(len(ENDINGS)))
EVERY = (*VIEWS, *EXPERIMENTS)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile(tmp_path_factory.mktemp("page") / "lab")


@pytest.fixture(scope="module")
def visitor(state: Path) -> Iterator[TestClient]:
    with client(state) as found:
        yield found


class Tags(HTMLParser):
    """All tags of a document with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("address", EVERY)
def test_nothing_hostile_gets_beyond_text(visitor: TestClient, address: str) -> None:
    answer = visitor.get(address)
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    assert "onerror=alert(2)>" not in answer.text.replace("&gt;", "")
    assert not set(answer.text) & set("\x1b\u202e\x00")
    assert str(7 * 191919) not in answer.text
    found = Tags(answer.text)
    assert [tag for tag, given in found.tags if tag == "script" and "src" not in given] == []
    assert [given for _, given in found.tags if any(name.startswith("on") or name == "style" for name in given)] == []
    assert {tag for tag, _ in found.tags} & {"img", "iframe", "object", "base", "style"} == set()
    links = [given["href"] or "" for _, given in found.tags if "href" in given]
    assert [link for link in links if not link.startswith(("/", "#"))] == []


@pytest.mark.parametrize("address", EVERY)
def test_no_number_of_the_hidden_split_is_shown(visitor: TestClient, address: str) -> None:
    text = visitor.get(address).text
    assert str(SECRET)[:6] not in text
    if address == "/experiments/2":
        assert "rests on the hidden split" in text


OTHERS = ("/nowhere", "/assets/page.css", "/progress/points.json", "/experiments/99")


@pytest.mark.parametrize("address", [*EVERY, *OTHERS])
def test_every_answer_carries_the_headers(visitor: TestClient, address: str) -> None:
    headers = visitor.get(address).headers
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in headers


def test_what_an_experiment_shows(visitor: TestClient) -> None:
    text = Tags(visitor.get("/experiments/9").text).text
    for said in ("idea 9", "who ", "kept", "1.800000", "+0.100000", "lesson ", "log ", "power ", "ended ", "LR = 9",
                 "opened", "trial begun", "Provenance", "0" * 39 + "a"):  # fmt: skip
        assert said in text
    refused = Tags(visitor.get("/experiments/3").text).text
    assert "rule " in refused
    assert "message " in refused
    assert "instead " in refused


@pytest.mark.parametrize("path", ["/experiments/10", "/experiments/x", "/experiments/-1", "/experiments/" + "9" * 40])
def test_what_is_not_there_is_said_so(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).status_code == 404


def test_a_filter_finds_what_it_names(visitor: TestClient) -> None:
    def numbers(query: str) -> list[int]:
        text = visitor.get(f"/experiments?{query}").text
        return [int(number) for number in re.findall(r'<td class="num"><a href="/experiments/(\d+)"', text)]

    assert numbers("") == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert numbers("decision=keep") == [9, 1, 0]
    assert numbers("decision=keep&order=up") == [0, 1, 9]
    assert numbers("q=IDEA 4") == [4]
    assert numbers("q=i_ea") == []
    assert numbers("sort=score&order=up")[:3] == [9, 1, 2]
    assert numbers("sort=gain")[:2] in ([1, 9], [9, 1])
    assert numbers("page=2") == []
    assert len(numbers("decision=nonsense&sort=nonsense&page=-3&order=;--")) == 10


def test_links_of_a_filter_keep_what_was_asked(visitor: TestClient) -> None:
    answer = visitor.get("/experiments", params={"q": "<script>alert(1)", "decision": "keep"})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "/experiments?decision=keep&amp;q=%3Cscript%3Ealert%281%29&amp;sort=score" in answer.text


def test_the_chart_has_a_point_for_everything(visitor: TestClient) -> None:
    points = visitor.get("/progress/points.json").json()
    assert points["number"] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    text = visitor.get("/progress").text
    for kind in ("keep", "discard", "far", "refused", "crash", "timeout", "invalid"):
        assert f'class="mark {kind}"' in text
    assert set(SAID.values()) >= {"kept", "discarded", "refused", "crashed", "timed out", "invalid"}
    assert visitor.get("/experiments/2/brief.json").json()["decision"] == "discarded"


def test_a_lab_without_a_ledger_says_so(tmp_path: Path) -> None:
    (tmp_path / "lab" / ".autoresearch").mkdir(parents=True)
    with client(tmp_path / "lab" / ".autoresearch") as visitor:
        for address in VIEWS:
            assert visitor.get(address).status_code == 200, address
        assert "No experiments yet" in visitor.get("/").text
        assert visitor.get("/experiments/0").status_code == 404
    assert not (tmp_path / "lab" / ".autoresearch" / "ledger.sqlite").exists()


def test_a_broken_ledger_is_an_answer_and_not_a_traceback(tmp_path: Path) -> None:
    state = tmp_path / ".autoresearch"
    state.mkdir()
    (state / "ledger.sqlite").write_bytes(b"no database at all, but long enough to be looked at " * 20)
    with client(state) as visitor:
        answer = visitor.get("/experiments")
    assert answer.status_code == 503
    assert "Traceback" not in answer.text


def test_looking_changes_nothing(state: Path, visitor: TestClient) -> None:
    before = hashlib.sha256((state / "ledger.sqlite").read_bytes()).hexdigest()
    for address in EVERY:
        visitor.get(address)
    assert hashlib.sha256((state / "ledger.sqlite").read_bytes()).hexdigest() == before
    with Looking(state / "ledger.sqlite") as ledger, pytest.raises(LedgerError, match="readonly"):
        ledger.add(ledger.get(9), scored(1.0))  # type: ignore[arg-type]
    with Looking(state / "ledger.sqlite") as ledger, pytest.raises(sqlite3.OperationalError):
        ledger._db.execute("DELETE FROM experiments")


def test_a_search_takes_no_pattern_and_no_sql(state: Path) -> None:
    with Looking(state / "ledger.sqlite") as ledger:
        assert ledger.page(Wanted(words="' OR 1=1 --"))[1] == 0
        assert ledger.page(Wanted(words="i%a"))[1] == 0
        assert ledger.page(Wanted(proposer="' OR 1=1 --"))[1] == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_nobody_can_do_anything(visitor: TestClient, method: str) -> None:
    answer = visitor.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_without_a_body(visitor: TestClient) -> None:
    answer = visitor.head("/progress")
    assert answer.status_code == 200
    assert answer.content == b""


OURS = ("127.0.0.1:9465", "localhost", "localhost:8080", "[::1]:9465", "10.0.0.1", "LOCALHOST.")
FOREIGN = (
    *("evil.example", "evil.example:9465", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@localhost", "x"),
    *("[::1", "::1.example", "127.0.0.1:evil"),
)


@pytest.mark.parametrize("host", OURS)
def test_addresses_and_our_own_names_are_taken(visitor: TestClient, host: str) -> None:
    assert visitor.get("/system", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_was_rebound_to_us_is_refused(visitor: TestClient, host: str) -> None:
    for address in ("/", "/live", "/experiments/1/brief.json", "/assets/page.js"):
        answer = visitor.get(address, headers={"host": host})
        assert answer.status_code == 421
        assert "idea" not in answer.text


def test_a_name_can_be_allowed(state: Path) -> None:
    with client(state, hosts=("lab.example",)) as visitor:
        assert visitor.get("/", headers={"host": "Lab.Example"}).status_code == 200
        assert visitor.get("/", headers={"host": "evil.example"}).status_code == 421


def test_a_token_is_asked_for(state: Path) -> None:
    token = "0123456789abcdef"

    def basic(password: str) -> str:
        return f"Basic {base64.b64encode(f'anybody:{password}'.encode()).decode()}"

    with client(state, token=token) as visitor:
        refused = visitor.get("/")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
        for given in (f"Bearer {token}", basic(token)):
            assert visitor.get("/", headers={"authorization": given}).status_code == 200
        for wrong in ("Bearer x", f"Bearer {token}x", basic("x"), "Basic !!!", token, "Bearer", f"Digest {token}"):
            for address in ("/", "/live", "/assets/page.css", "/progress/points.json"):
                assert visitor.get(address, headers={"authorization": wrong}).status_code == 401
        shown = visitor.get("/system", headers={"authorization": f"Bearer {token}"}).text
        assert token not in shown
    assert token not in repr(facts(state, token=token))


def test_a_long_address_is_refused(visitor: TestClient) -> None:
    assert visitor.get("/experiments?q=" + "a" * 5000).status_code == 414


def test_a_token_file_must_be_private_and_long(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content, mode, sentence in (
        ("0123456789abcdef\n", 0o644, "may be read by others"),
        ("short\n", 0o600, "16 characters or more"),
        ("two words of some length", 0o600, "one word"),
        ("ümlaute ümlaute ümlaute", 0o600, "ASCII"),
    ):
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(UserError, match=sentence):
            page_settings.read_token(file)
    with pytest.raises(UserError, match="cannot be read"):
        page_settings.read_token(tmp_path / "none")
    file.write_text("0123456789abcdef\n")
    assert page_settings.read_token(file) == "0123456789abcdef"


def test_facts_survive_the_way_to_the_child(state: Path) -> None:
    given = facts(state, hosts=("a.example",), token="0123456789abcdef")
    assert page_settings.from_json(page_settings.to_json(given)) == given


def test_the_present_is_shown_while_a_run_is_on(state: Path, visitor: TestClient) -> None:
    assert "No run is on" in visitor.get("/").text
    file = live.LiveFile(state / live.FILE)
    from daemon.observe import Claimed, PhaseEntered

    file.notify(PhaseEntered(number=10, phase="training", seconds=300.0, hypothesis=f"now {HOSTILE}"))
    file.notify(Claimed(number=10, step=7, loss=3.25, tokens_per_second=1234.5))
    file.look()
    try:
        answer = visitor.get("/")
        text = Tags(answer.text).text
        assert "Training" in text
        assert "3.2500" in text
        assert "now " in text
        assert "<script>alert" not in answer.text
    finally:
        (state / live.FILE).unlink()


def test_the_process_loads_no_engine_no_git_and_no_key(state: Path) -> None:
    program = "import sys, daemon.web.serve; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    loaded = {name.partition(".")[0] for name in done.stdout.replace("'", "").strip("[]\n").split(", ")}
    assert not loaded & {"docker", "git", "anthropic", "pydantic", "matplotlib", "numpy", "optuna", "rich", "typer"}


def test_a_ledger_of_an_older_version_is_not_migrated_by_looking(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite"):
        pass
    with Looking(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.moved() == 0
        assert ledger.page(Wanted())[0] == []
    with pytest.raises(LedgerError):
        Looking(tmp_path / "none.sqlite")
