"""Running rules, and switching them by policy.yaml: whatever goes wrong refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.config import MAX_CHARACTERS, PolicyError, load
from policies.engine import MAX_FINDINGS_PER_RULE, check
from policies.interface import Finding
from policies.size import Size
from policies.syntax import Syntax

ROOT = Path(__file__).parents[2]
REAL = (ROOT / "train.py").read_bytes()
DEFAULT = (ROOT / "policies" / "default.yaml").read_text()
FINDING = Finding(rule="r", line=1, column=1, message="m", instead="i")


class Rule:
    name = "r"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def test_no_rules_refuse() -> None:
    assert not check(REAL, REAL, []).allowed


def test_findings_of_all_rules_come_together() -> None:
    verdict = check(b"x", b"y", [Rule([FINDING]), Rule([]), Rule((FINDING, FINDING))])
    assert verdict.rules == ("r", "r", "r")
    assert len(verdict.findings) == 3
    assert not verdict.allowed
    assert check(b"x", b"y", [Rule([])]).allowed


@pytest.mark.parametrize("answer", [ValueError("x"), RecursionError(), MemoryError(), None, ["text"], 3])
def test_a_rule_that_cannot_check_refuses(answer: object) -> None:
    (finding,) = check(b"x", b"y", [Rule(answer)]).findings
    assert finding.rule == "r"
    assert "could not check: refused" in finding.message


def test_an_exception_amid_the_findings_refuses() -> None:
    class Lazy(Rule):
        def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
            def findings():  # type: ignore[no-untyped-def]
                yield from ()
                raise KeyError("late")

            return findings()  # type: ignore[no-any-return]

    assert not check(b"x", b"y", [Lazy(None)]).allowed


def test_findings_are_bounded() -> None:
    assert len(check(b"x", b"y", [Rule([FINDING] * 1000)]).findings) == MAX_FINDINGS_PER_RULE


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(str.encode)
    | st.text("()[]{}'\"\\\n#f:=x ,", max_size=60).map(str.encode)
)
def test_any_bytes_get_a_verdict(patch: bytes) -> None:
    verdict = check(patch, REAL, load(DEFAULT))
    assert not any("could not check" in finding.message for finding in verdict.findings)
    assert not verdict.allowed  # none of them calls the evaluation


def test_the_default_allows_the_default() -> None:
    rules = load(DEFAULT)
    assert [rule.name for rule in rules] == ["text", "size", "syntax", "contract"]
    assert check(REAL, REAL, rules).allowed


def test_the_default_file_says_what_is_the_default_anyway() -> None:
    assert load(DEFAULT) == load("version: 1\n") == load("rules: {}\n")


def test_rules_are_switched_and_tuned() -> None:
    off = "text: {enabled: false}, contract: {enabled: no}"
    text = f"rules: {{size: {{max_bytes: 9}}, syntax: {{max_depth: 3}}, {off}}}"
    assert load(text) == (Size(max_bytes=9), Syntax(max_depth=3))


def test_all_rules_off_refuse_everything() -> None:
    off = "rules:\n" + "".join(f"  {name}: {{enabled: false}}\n" for name in ("text", "size", "syntax", "contract"))
    assert load(off) == ()
    assert not check(REAL, REAL, load(off)).allowed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty or no mapping"),
        ("- 1", "empty or no mapping"),
        ("rules: [", "not valid YAML"),
        ("rules: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("rules: {}\nextra: 1", "unknown key extra"),
        ("rules: {sizes: {}}", "unknown key rules.sizes"),
        ("rules: {size: {max_byte: 1}}", "unknown key rules.size.max_byte"),
        ("rules: {size: {max_bytes: '9'}}", "rules.size.max_bytes: Input should be a valid integer"),
        ("rules: {size: {max_bytes: 0}}", "rules.size.max_bytes"),
        ("rules: {syntax: {max_depth: 1000}}", "rules.syntax.max_depth"),
        ("rules: {text: {enabled: 1}}", "rules.text.enabled"),
        ("rules: {text: off}", "rules.text"),
        ("version: 2", "version"),
        ("rules: {text: {enabled: true}, text: {enabled: false}}", "the key 'text' stands twice"),
        ("[" * 5000, "not valid YAML"),
        ("#" * (MAX_CHARACTERS + 1), "more than"),
    ],
)
def test_mistakes_in_policy_yaml_are_named(text: str, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(text)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("policy.yaml")
    assert "\n" not in str(caught.value)
