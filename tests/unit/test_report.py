"""The morning report: every number from the ledger, every foreign text harmless, one file that asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from nights import Night, a_lab, a_night, arena_of
from values import ALLOWED, PROPOSAL, summary

from daemon.cli import watching
from daemon.lab import Lab
from daemon.ledger import Abandoned, Interrupted, Ledger, TrialStarted, Voided
from daemon.model import Decision, Outcome, Patch, Proposal, Usage, UserError
from daemon.report import words
from daemon.report.changes import MAX_LINES, change_of
from daemon.report.gather import beginning, gather
from daemon.report.markdown import code, markdown
from daemon.report.page import page
from daemon.report.printing import report, written
from daemon.report.staircase import staircase
from daemon.report.values import Report

HOSTILE = (
    "<script>alert(1)</script> \"q\" 'a' & `tick` ``` | [l](http://evil.example) **b** \x1b[31m \u202e "
    "</title></svg>]]><img src=x onerror=alert(1)>"
)
BEGAN = datetime(2026, 5, 1, 20, 0, tzinfo=UTC)


def now_of(lab: Lab) -> datetime:
    with lab.ledger() as ledger:
        latest = ledger.latest()
    assert latest is not None
    return datetime.fromisoformat(latest.opened_at) + timedelta(minutes=1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return a_night(tmp_path_factory.mktemp("report") / "lab")


def told(lab: Lab, since: str = "all", sigma_bpb: float | None = None) -> Report:
    return gather(lab, since, now_of(lab), sigma_bpb=sigma_bpb)


def test_the_numbers_are_the_ledgers(lab: Lab) -> None:
    found = told(lab)
    assert (found.headline.before_bpb, found.headline.now_bpb) == (2.0, 1.8)
    assert (found.headline.experiments, found.headline.kept) == (6, 2)
    assert [(kept.number, kept.val_bpb) for kept in found.kept] == [(6, 1.8), (1, 1.9), (0, 2.0)]
    assert found.kept[0].gain_bpb == pytest.approx(0.1)
    assert found.kept[-1].gain_bpb is None, "a baseline had nothing to beat"
    assert {group.what: (group.count, group.last) for group in found.failed} == {
        "discard: not better": (1, 2), "refused: it is a refused": (1, 3), "crash: it is a crash": (1, 4),
    }  # fmt: skip
    assert found.times.training == pytest.approx(4 * 300.25)
    assert (found.reliability.trials, found.reliability.abandoned) == (5, 0)
    assert [(group.what, group.count) for group in found.reliability.interrupted] == [
        ("the process ended while it ran", 1)
    ]
    with lab.ledger() as ledger:
        champion = ledger.get(6)
        assert (found.provenance.chain_head, found.provenance.events) == (ledger.head_hash(), ledger.events())
    assert (found.provenance.champion, found.provenance.commit) == (6, champion.commit)
    change = found.kept[0].change
    assert (change.added, change.removed, list(change.lines)) == (1, 0, ["+# idea 6"])


def test_what_to_try_next_is_the_notebooks(lab: Lab) -> None:
    titles = [title for title, _ in told(lab).next]
    assert titles == ["Literals that nobody has moved yet"], "nothing came near the champion"
    near = told(lab, sigma_bpb=0.03)
    assert near.next[0][0] == "Near misses, closest first"
    assert near.next[0][1][0].startswith("#2 1.95000 (-0.05000 bpb, -1.7 σ)")


def test_gains_are_in_sigmas_where_the_noise_is_known(lab: Lab) -> None:
    assert told(lab).headline.gain_sigmas is None
    found = told(lab, sigma_bpb=0.01)
    assert found.headline.gain_sigmas == pytest.approx(20)
    assert words.headline(found.headline) == "2.0000 → 1.8000 bits per byte: -0.2000 (-10.00 %, 20.0 σ)"
    assert words.gain(found.kept[0]) == "-0.10000 (10.0 σ)"
    assert "σ = 0.01000" in words.noise(found.headline)


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[tuple[Night, list[datetime]]]:
    """A lab whose ledger is told the time."""
    lab, at = a_lab(tmp_path / "lab"), [BEGAN]

    def now() -> str:
        return at[0].isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

    with Ledger(lab.state / "ledger.sqlite", now=now) as ledger:
        yield Night(lab, ledger, arena_of(lab)), at


def test_only_the_time_that_was_asked_for_is_told(clocked: tuple[Night, list[datetime]]) -> None:
    night, at = clocked
    for score in (2.0, 1.9):
        night.add(Decision.KEEP, score)
        at[0] += timedelta(minutes=30)
    at[0] += timedelta(hours=9)
    night.add(Decision.DISCARD, 1.95)
    at[0] += timedelta(minutes=10)
    night.add(Decision.KEEP, 1.7)
    found = gather(night.lab, "8h", at[0])
    assert (found.headline.before_bpb, found.headline.now_bpb, found.headline.kept) == (1.9, 1.7, 1)
    assert [kept.number for kept in found.kept] == [3]
    assert found.times.wall == 600
    assert found.since == "2026-05-02T06:00:00.000Z"
    everything = gather(night.lab, "all", at[0])
    assert everything.headline.before_bpb == 2.0
    assert [gap.seconds for gap in everything.reliability.gaps] == [9.5 * 3600, 1800.0, 600.0]
    assert everything.since == "2026-05-01T20:00:00.000Z"


def test_another_arena_is_counted_and_not_compared(clocked: tuple[Night, list[datetime]]) -> None:
    night, at = clocked
    night.add(Decision.KEEP, 1.0)
    night.arena, night.champion = replace(night.arena, device="another"), None
    night.add(Decision.KEEP, 3.0)
    found = gather(night.lab, "all", at[0])
    assert (found.headline.before_bpb, found.headline.now_bpb) == (3.0, 3.0)
    assert found.other_arenas == 1
    assert any("1; their scores" in fact for _, fact in words.conditions(found))


def test_money_is_told_for_each_keep(clocked: tuple[Night, list[datetime]]) -> None:
    night, at = clocked
    baseline = night.add(Decision.KEEP, 2.0)
    night.ledger.add(baseline, Usage(purpose="lesson", model="m", input_tokens=1000, usd=3.0))
    night.add(Decision.KEEP, 1.9)
    found = gather(night.lab, "all", at[0])
    assert dict(words.costs(found)) == {
        "the provider's list prices": "3.00 USD", "tokens": "1,000", "for each kept experiment": "3.00 USD",
        "for each 0.01 bits per byte gained": "0.30 USD",
    }  # fmt: skip


def test_voids_and_what_was_given_up_are_told(clocked: tuple[Night, list[datetime]]) -> None:
    night, at = clocked
    night.add(Decision.KEEP, 2.0)
    for value in (Interrupted(reason="the host was stalled 3.2 s, so the run is void"), Abandoned(reason="skipped")):
        tip = night.lab.workspace.tip()
        opened = night.ledger.open(arena=night.arena, base_commit=tip, champion=0, program="p")
        for step in (PROPOSAL, ALLOWED, TrialStarted(seed=1), Voided(reason="a stranger on the GPU"), value):
            opened = night.ledger.add(opened, step)
    found = gather(night.lab, "all", at[0]).reliability
    assert (found.voided, found.abandoned) == (2, 1)
    assert found.interrupted[0].what == "the host was stalled … s, so the run is void"


def test_ablations_say_what_the_champion_would_lose(clocked: tuple[Night, list[datetime]]) -> None:
    night, at = clocked
    night.add(Decision.KEEP, 2.0)
    tip = night.lab.workspace.tip()
    opened = night.ledger.open(arena=night.arena, base_commit=tip, champion=0, program="p")
    patch = Patch(train_py=night.lab.workspace.read(tip) + b"# less\n", base_commit=tip)
    asked = night.ledger.add(opened, Proposal(hypothesis="without softcap", patch=patch, proposer="ablation"))
    checked = night.ledger.add(asked, night._verdict(Decision.DISCARD, 1))  # type: ignore[arg-type]
    for trial in night._trials(Decision.DISCARD, 2.3, 1):
        checked = night.ledger.add(night.ledger.add(checked, TrialStarted(seed=trial.seed)), trial)
    night.finish(night.ledger.add(checked, Outcome(decision=Decision.DISCARD, reason="worse")))
    found = gather(night.lab, "all", at[0])
    assert [(out.number, out.hypothesis) for out in found.taken_out] == [(1, "without softcap")]
    assert found.taken_out[0].gain_bpb == pytest.approx(-0.3)
    assert "+0.30000: #1 `without softcap`" in markdown(found)


@pytest.mark.parametrize("since", ["", "12", "h", "-1h", "1w", "12h ", "999999h", "\x1b[31m"])
def test_a_time_that_is_none_is_one_sentence(lab: Lab, since: str) -> None:
    with pytest.raises(UserError, match="--since takes"):
        beginning(since, BEGAN)


def test_nothing_to_tell_is_one_sentence(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was tried in the last 1m"):
        gather(lab, "1m", now_of(lab) + timedelta(days=1))
    with pytest.raises(UserError, match="nothing was tried"):
        gather(a_lab(tmp_path / "empty"), "all", BEGAN)


# Both forms, with hostile text in every field


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    lab = a_lab(tmp_path_factory.mktemp("hostile") / "lab")
    with lab.ledger() as ledger:
        night = Night(lab, ledger, replace(arena_of(lab), device=HOSTILE, torch_version=HOSTILE))
        night.add(Decision.KEEP, 2.0, hypothesis=HOSTILE)
        night.add(Decision.KEEP, 1.9, hypothesis=HOSTILE, runs=3)
        for decision, score in ((Decision.DISCARD, 1.901), (Decision.CRASH, None), (Decision.REFUSED, None)):
            night.add(decision, score, hypothesis=HOSTILE)
    found = told(lab)
    lines = [f"+{HOSTILE}", "-```", "+  ````"]
    change = change_of("\n@@\n" + "\n".join(lines))
    return replace(found, kept=[replace(kept, change=change) for kept in found.kept])


class Tags(html.parser.HTMLParser):
    """Which elements and attributes a browser would see; every element that is opened must be closed."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_hostile_text_is_text_on_the_page(hostile: Report) -> None:
    text = page(hostile)
    found = Tags(text)
    assert found.open == []
    assert {tag for tag, _ in found.seen} <= {
        "html", "head", "meta", "title", "style", "body", "main", "section", "article", "h1", "h2", "h3", "p", "span",
        "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre", "ins", "del", "code",
        "svg", "line", "path", "circle", "text",
    }  # fmt: skip
    assert not [name for _, attributes in found.seen for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_page_asks_for_nothing(hostile: Report) -> None:
    found = Tags(page(hostile))
    names = {name for _, attributes in found.seen for name in attributes}
    assert not names & {"src", "href", "srcset", "action", "data", "xlink:href", "poster", "background"}
    assert "url(" not in page(hostile).split("</style>")[0]


def test_its_policy_forbids_all_but_its_own_style(hostile: Report) -> None:
    text = page(hostile)
    policy = next(a["content"] for tag, a in Tags(text).seen if tag == "meta" and a.get("http-equiv"))
    style = text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_hostile_text_is_code_in_markdown(hostile: Report) -> None:
    text = markdown(hostile)
    fenced = re.sub(r"^    (`{3,})diff\n.*?^    \1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"`[^`\n]*`", "", fenced)
    assert "`" not in outside
    assert not re.search(r"[<>\[\]|*]|http|script", outside), outside
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", text)


def test_a_fence_is_longer_than_any_in_the_change(hostile: Report) -> None:
    fences = re.findall(r"^    (`+)diff$", markdown(hostile), re.MULTILINE)
    assert fences and set(fences) == {"`````"}


@pytest.mark.parametrize("text", ["", "`", "a`b``c", "x\ny", "  "])
def test_a_code_span_holds_anything(text: str) -> None:
    assert re.fullmatch(r"–|`[^`\n]+`", code(text))


def test_a_long_change_is_counted_and_cut() -> None:
    diff = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n" + "\n".join(
        f"{'-' if n % 2 else '+'}line {n}" for n in range(100)
    )
    change = change_of(diff)
    assert (change.added, change.removed, len(change.lines), change.left_out) == (50, 50, MAX_LINES, 60)
    assert change_of("") == change_of("no diff\n--- at all")


# The picture


def test_the_picture_tells_outcomes_apart_by_shape() -> None:
    numbers = count()
    decisions = [*Decision, Decision.KEEP]
    scored = (Decision.KEEP, Decision.DISCARD)
    rows = [summary(n := next(numbers), d, 2.0 - 0.1 * n if d in scored else None) for d in decisions]
    text = staircase(rows)
    assert text.count('<circle class="kept" cx') == 2 + 1, "two, and the legend's"
    assert text.count('<circle class="discarded" cx') == 1 + 1
    assert text.count('<path class="failed"') == 4 + 1
    assert text.count('<path class="best"') == 1
    assert Tags(text).open == []


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [summary(0, Decision.CRASH, None)],
        [summary(0, Decision.KEEP, 2.0)],
        [summary(0, Decision.KEEP, float("nan"))],
        [summary(5, Decision.DISCARD, 1e300), summary(6, Decision.KEEP, 1e-300)],
    ],
)
def test_the_picture_stands_whatever_came(rows: list[object]) -> None:
    text = staircase(rows, 2.5)  # type: ignore[arg-type]
    assert "nan" not in text and "inf" not in text
    assert Tags(text).open == []


# The verb


def test_the_three_forms_and_the_file(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watching.report(since="all", lab=lab.directory)
    assert capsys.readouterr().out.startswith("# `lab`: 2.0000 → 1.8000 bits per byte")
    watching.report(since="all", lab=lab.directory, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["headline"]["gain_bpb"] == pytest.approx(0.2)
    assert "rows" not in facts
    target = tmp_path / "report.html"
    watching.report(since="all", html=True, out=target, lab=lab.directory)
    assert target.read_text().startswith("<!doctype html>")
    with pytest.raises(UserError, match="choose one"):
        watching.report(html=True, as_json=True, lab=lab.directory)
    with pytest.raises(UserError, match="no folder"):
        written("x", tmp_path / "none" / "x")
    with pytest.raises(UserError, match="is a folder"):
        written("x", tmp_path)
    assert report(lab, "all", now_of(lab), "md", sigma_bpb=0.01).count("σ") > 3


def test_times_are_words() -> None:
    assert [words.seconds(n) for n in (0, 4.24, 59.96, 60, 200, 3600, 7530)] == [
        "0.0 s", "4.2 s", "1 min 00 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
