"""Running rules, and switching them by policy.yaml: whatever goes wrong refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.config import MAX_CHARACTERS, PolicyError, describe, load
from policies.engine import MAX_FINDINGS_PER_RULE, check
from policies.interface import Finding, Submission
from policies.size import Size
from policies.syntax import Syntax

ROOT = Path(__file__).parents[2]
REAL = (ROOT / "train.py").read_bytes()
DEFAULT = (ROOT / "policies" / "default.yaml").read_text()
NAMES = ["scope", "text", "size", "syntax", "imports", "calls", "contract", "history", "secrets"]
FINDING = Finding(rule="r", line=1, column=1, message="m", instead="i")
XY = Submission(patch=b"x", base=b"y")
REAL_ONE = Submission(patch=REAL, base=b"")


class Rule:
    name = "r"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def check(self, submission: Submission) -> Sequence[Finding]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def test_no_rules_refuse() -> None:
    assert not check(REAL_ONE, []).allowed


def test_findings_of_all_rules_come_together() -> None:
    verdict = check(XY, [Rule([FINDING]), Rule([]), Rule((FINDING, FINDING))])
    assert verdict.rules == ("r", "r", "r")
    assert len(verdict.findings) == 3
    assert not verdict.allowed
    assert check(XY, [Rule([])]).allowed


@pytest.mark.parametrize("answer", [ValueError("x"), RecursionError(), MemoryError(), None, ["text"], 3])
def test_a_rule_that_cannot_check_refuses(answer: object) -> None:
    (finding,) = check(XY, [Rule(answer)]).findings
    assert finding.rule == "r"
    assert "could not check: refused" in finding.message


def test_an_exception_amid_the_findings_refuses() -> None:
    class Lazy(Rule):
        def check(self, submission: Submission) -> Sequence[Finding]:
            def findings():  # type: ignore[no-untyped-def]
                yield from ()
                raise KeyError("late")

            return findings()  # type: ignore[no-any-return]

    assert not check(XY, [Lazy(None)]).allowed


def test_findings_are_bounded() -> None:
    assert len(check(XY, [Rule([FINDING] * 1000)]).findings) == MAX_FINDINGS_PER_RULE


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(str.encode)
    | st.text("()[]{}'\"\\\n#f:=x ,", max_size=60).map(str.encode)
)
@settings(deadline=None)  # times are for the bench
def test_any_bytes_get_a_verdict(patch: bytes) -> None:
    verdict = check(Submission(patch=patch, base=REAL), load(DEFAULT))
    assert verdict == check(Submission(patch=patch, base=REAL), load(DEFAULT))
    assert not any("could not check" in finding.message for finding in verdict.findings)
    assert not verdict.allowed  # none of them calls the evaluation


def test_the_default_allows_the_default() -> None:
    rules = load(DEFAULT)
    assert [rule.name for rule in rules] == NAMES
    assert check(REAL_ONE, rules).allowed


def test_the_default_file_says_what_is_the_default_anyway() -> None:
    assert load(DEFAULT) == load("version: 1\n") == load("rules: {}\n")


def test_rules_are_switched_and_tuned() -> None:
    off = ", ".join(f"{name}: {{enabled: false}}" for name in NAMES if name not in ("size", "syntax"))
    text = f"rules: {{size: {{max_bytes: 9}}, syntax: {{max_depth: 3}}, {off}}}"
    assert load(text) == (Size(max_bytes=9), Syntax(max_depth=3))


@pytest.mark.parametrize("path", sorted((ROOT / "policies").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_policy_loads_allows_train_py_and_names_every_setting(path: Path) -> None:
    text = path.read_text()
    rules = load(text)
    assert [rule.name for rule in rules] == NAMES
    assert check(REAL_ONE, rules).allowed
    written = yaml.safe_load(text)["rules"]
    for rule, (name, sentence, values) in zip(rules, describe(rules), strict=True):
        assert name == rule.name
        assert sentence.endswith(".")
        shown = {key for key in values if not (name == "calls" and key in ("refuse", "unsafe_allow_imports"))}
        assert shown - {"unsafe_allow_names"} <= set(written[name])


def test_strict_is_stricter() -> None:
    strict = load((ROOT / "policies" / "strict.yaml").read_text())
    threads = REAL.replace(b"import time\n", b"import threading\nimport time\n")
    scripts = REAL.replace(b"def rms_norm", b"@torch.jit.script\ndef rms_norm")
    setting = REAL.replace(b"STARTED =", b'os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "a"\nSTARTED =')
    for patch in (threads, scripts, setting):
        assert patch != REAL
        assert check(Submission(patch=patch, base=REAL), load(DEFAULT)).allowed
        assert not check(Submission(patch=patch, base=REAL), strict).allowed


def test_an_open_hatch_is_in_every_verdict_and_in_the_description() -> None:
    rules = load("rules: {imports: {unsafe_allow_imports: [subprocess]}, calls: {unsafe_allow_names: [open]}}")
    body = b"import subprocess\nsubprocess.run(['id'])\nopen('/x')\n"
    verdict = check(Submission(patch=REAL + body, base=REAL), rules)
    assert verdict.allowed
    assert "imports (unsafe_allow_imports: subprocess)" in verdict.rules
    assert "calls (unsafe_allow_names: open)" in verdict.rules
    assert ["unsafe" in name for name, _, _ in describe(rules)].count(True) == 2
    assert not check(Submission(patch=REAL + body + b"eval('1')\n", base=REAL), rules).allowed


def test_the_verdict_carries_the_fingerprint_whichever_rules_are_on() -> None:
    one = check(REAL_ONE, [Rule([])]).fingerprint
    assert len(one) == 64
    assert check(Submission(patch=REAL + b"\n# a remark\n", base=b""), []).fingerprint == one
    assert check(Submission(patch=REAL + b"x = 1\n", base=b""), []).fingerprint != one
    assert check(Submission(patch=b"x = (", base=b""), []).fingerprint == ""


@pytest.mark.parametrize(
    ("base", "patch", "saved"),
    [
        (b"x = 1\ny = 2\n", b"x = 1\n", 4),
        (b"x = 1\n", b"x = 1\ny = 2\n", -4),
        (b"", b"x = 1\n", 0),
        (b"x = 1\n", b"(", 0),
    ],
)
def test_the_verdict_carries_by_how_much_the_program_shrank(base: bytes, patch: bytes, saved: int) -> None:
    assert check(Submission(patch=patch, base=base), []).saved_nodes == saved


def test_all_rules_off_refuse_everything() -> None:
    off = "rules:\n" + "".join(f"  {name}: {{enabled: false}}\n" for name in NAMES)
    assert load(off) == ()
    assert not check(REAL_ONE, load(off)).allowed


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
        ("rules: {imports: {allow: [os]}}", "unknown key rules.imports.allow"),
        ("rules: {imports: {unsafe_allow_imports: scipy}}", "rules.imports.unsafe_allow_imports"),
        ("rules: {imports: {unsafe_allow_imports: ['a b']}}", "rules.imports.unsafe_allow_imports.0"),
        ("rules: {calls: {unsafe_allow_names: [1]}}", "rules.calls.unsafe_allow_names.0"),
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
