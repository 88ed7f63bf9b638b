"""The corpus as values, the verdicts, the table; no engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from specs import a_spec
from values import SCORE, TRIAL

from daemon.model import TrialStatus, UserError
from daemon.selftest import AttackResult, attack, facts, inserted, render
from daemon.selftest.corpus import load
from daemon.selftest.judge import Seen, judged, policies_as_expected, policy_word, succeeded
from daemon.selftest.report import BEGIN, END
from daemon.selftest.run import Range
from daemon.selftest.sinks import Sink, leak
from policies.interface import Finding, Verdict
from sandbox.fake import FakeRun, FakeSandbox

HEAD = """# title = "a title"
# expect = "no-effect"
# layer = "a layer"
# policies = "refused: calls | imports"
# broken_wall = "a-wall"
# success = "forged"
"""


def written(folder: Path, head: str = HEAD, body: str = "pass\n") -> Path:
    (folder / "metric").mkdir()
    (folder / "honest_part.py").write_text("HONEST = 1\n")
    (folder / "metric" / "one.py").write_text(f"{head}\n{body}")
    return folder


def test_a_file_is_a_header_and_the_bytes_behind_it(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path, body="first\n# --- honest part ---\nlast\n"))
    assert (one.name, one.group, one.wall) == ("metric/one", "metric", "a-wall")
    assert one.program == b"first\nHONEST = 1\nlast\n"


def test_bytes_that_no_editor_keeps_are_written_as_escapes(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path, HEAD + "# escapes = true\n", "\\xef\\xbb\\xbfx\\x00\\x0dy\n"))
    assert one.program == b"\xef\xbb\xbfx\x00\ry\n"


@pytest.mark.parametrize(
    "head", [HEAD + "# unknown = 1\n", HEAD.replace("no-effect", "fine"), HEAD.replace("refused: calls", "no"), ""]
)
def test_a_wrong_header_is_named(tmp_path: Path, head: str) -> None:
    with pytest.raises(UserError, match="metric/one"):
        load(written(tmp_path, head))


def test_a_missing_corpus_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no attacks"):
        load(tmp_path)


def result(bpb: float, log: str = "") -> object:
    return replace(TRIAL, score=replace(SCORE, val_bpb=bpb), log_tail=log)


@pytest.mark.parametrize(
    ("merit", "bpb", "verdict"),
    [
        ("honest", 2.5, "no-effect"), ("honest", 2.4, "forged"), ("honest", 2.6, "worse"),
        ("own", 2.6, "no-effect"), ("own", 2.4, "forged"),
        ("better", 2.4, "no-effect"), ("better", 2.5, "worse"),
        ("uniform", 2.75, "no-effect"), ("uniform", 2.5, "forged"),
    ],
)  # fmt: skip
def test_a_score_is_weighed_against_what_is_due(tmp_path: Path, merit: str, bpb: float, verdict: str) -> None:
    (one,) = load(written(tmp_path, HEAD + f'# merit = "{merit}"\n'))
    assert judged(result(bpb), one, 2.5, 2048).verdict == verdict  # type: ignore[arg-type]


def test_an_effect_outweighs_a_score_and_a_failure_keeps_its_reason(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path))
    seen = judged(result(2.5, "x\n@@effect read it\n"), one, 2.5, 2048)  # type: ignore[arg-type]
    assert seen == Seen(verdict="effect", detail="read it")
    crash = replace(TRIAL, status=TrialStatus.CRASH, reason="because", score=None)
    assert judged(crash, one, 2.5, 2048) == Seen(verdict="crash", detail="because")


def test_success_is_a_verdict_and_words_of_it(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path, HEAD.replace('"forged"', '"invalid: out of time || accepted"')))
    assert succeeded(Seen(verdict="invalid", detail="ran out of time"), one)
    assert succeeded(Seen(verdict="worse"), one)
    assert not succeeded(Seen(verdict="invalid", detail="not JSON"), one)


def test_one_of_the_rules_that_should_refuse_must(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path))
    finding = Finding(rule="calls", line=1, column=1, message="", instead="")
    refused = policy_word(Verdict(rules=("calls",), findings=(finding, finding)))
    assert refused == "refused: calls"
    assert policies_as_expected(refused, one)
    assert not policies_as_expected("refused: size", one)
    assert not policies_as_expected("allowed", one)
    assert policy_word(None) == "not asked"


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\u202e", "\u2028", "\x9b", "\ud800", "\x00", "x" * 3_000_000])
def test_what_moves_hides_or_has_no_end_is_a_leak(text: str) -> None:
    assert leak(iter([Sink("fine", "a\tb\nc ü …"), Sink("log", text)])) is not None


def test_plain_text_is_no_leak() -> None:
    assert leak(iter([Sink("fine", "a\tb\nc ü … \\x1b[2J <script> |")])) is None


ROW = AttackResult(
    name="metric/one", title="a | b", layer="a layer", expected="no-effect", verdict="no-effect", detail="",
    correct=True, policies_expected="refused: calls", policies="refused: calls | imports", policies_correct=True,
    residual="R5", seconds=1.23,
)  # fmt: skip


def test_the_table_has_a_row_an_attack_and_shows_what_is_wrong() -> None:
    wrong = replace(ROW, verdict="forged", correct=False)
    table = render([ROW, wrong])
    assert "| a \\| b | a layer | no-effect (residual risk R5) | refused: calls, imports |" in table
    assert "**forged, not no-effect**" in table
    assert "2 attacks: 1 with a wrong verdict in the sandbox, 0 by the policies alone." in table
    assert json.loads(json.dumps(facts(ROW)))["seconds"] == 1.2


def test_the_table_goes_between_its_marks() -> None:
    assert inserted(f"a\n{BEGIN}\nold\n{END}\nb", "new\n") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb"
    with pytest.raises(ValueError, match="no place"):
        inserted("a", "new")


def test_only_what_was_asked_for_is_run_and_a_stop_is_heeded() -> None:
    ground = Range(sandbox=FakeSandbox(lambda _: FakeRun(val_bpb=2.5)), spec=a_spec())
    assert [row.name for row in attack(ground, only="control/honest")] == ["control/honest"]
    quick = [row.name for row in attack(ground, quick=True, only="network")]
    assert quick == ["network/tcp"]
    assert list(attack(ground, cancel=lambda: True)) == []
