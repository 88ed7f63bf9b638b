"""Honest research must pass: no rule refuses it, it seals, and the referee scores it on the CPU."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import honest_corpus
import pytest
from honest_corpus import HANDFUL, SCORED, BrokenVariant, Variant
from specs import REPOSITORY

from daemon.model import TrialResult
from daemon.trial import Listener, run_trial
from policies.config import load
from policies.engine import check
from policies.interface import Submission, Tried
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import MiB, SandboxSpec

TRAIN_SECONDS = 8
SLACK_SECONDS = 30  # kept free for the last step and for sealing, so that a busy machine kills nobody
WORST_SCORE = 3.0  # an even guess has 2.98 bits a byte, and on a busy machine a slow program takes only a few steps
MEMORY_BYTES = 2048 * MiB

BASE = honest_corpus.base()
VARIANTS = honest_corpus.load()
RULES = load((REPOSITORY / "policies" / "default.yaml").read_text())

each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def submission(variant: Variant, **changes: object) -> Submission:
    return replace(Submission(patch=variant.program(BASE), base=BASE.encode()), **changes)  # type: ignore[arg-type]


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(VARIANTS) >= 42
    assert sum(variant.expected == SCORED for variant in VARIANTS) >= 40
    assert sum(variant.expected != SCORED for variant in VARIANTS) <= 5
    assert {variant.name for variant in VARIANTS} >= HANDFUL


@each_variant
def test_it_is_a_whole_program_that_differs_from_its_base(variant: Variant) -> None:
    program = variant.program(BASE)
    assert ast.dump(ast.parse(program)) != ast.dump(ast.parse(BASE))


@each_variant
def test_no_rule_refuses_it(variant: Variant) -> None:
    verdict = check(submission(variant), RULES)
    assert verdict.allowed, [(f.rule, f.line, f.message) for f in verdict.findings]


def test_no_two_are_taken_for_the_same_experiment() -> None:
    """What was tried stays tried, and nothing else: each program passes after all the others."""
    tried: dict[str, Tried] = {}
    for number, variant in enumerate(VARIANTS):
        verdict = check(submission(variant, tried=tried), RULES)
        assert verdict.allowed, (variant.name, verdict.findings)
        assert verdict.fingerprint
        tried[verdict.fingerprint] = Tried(experiment=number, outcome="discard")
    again = check(submission(VARIANTS[0], tried=tried), RULES)
    assert not again.allowed


def patient(prepare: str) -> bytes:
    """prepare.py, which tells programs to stop that much earlier; the sandbox grants them the time all the same."""
    reserve = "RESERVE_SECONDS = 1.0"
    assert prepare.count(reserve) == 1
    return prepare.replace(reserve, f"RESERVE_SECONDS = {SLACK_SECONDS:.1f}").encode()


@pytest.fixture
def tried(sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec]) -> Callable[..., TrialResult]:
    def run(program: bytes) -> TrialResult:
        spec = make_spec(
            program,
            prepare_py=patient((REPOSITORY / "prepare.py").read_text()),
            train_seconds=TRAIN_SECONDS + SLACK_SECONDS,
            startup_seconds=180,
            free_startup_seconds=180,
            score_seconds=900,
        )
        limits = replace(spec.limits, memory_bytes=MEMORY_BYTES)
        return run_trial(sandbox, replace(spec, limits=limits), Listener())

    return run


@each_variant
def test_it_is_trained_sealed_and_scored(variant: Variant, tried: Callable[..., TrialResult]) -> None:
    result = tried(variant.program(BASE))
    ended = SCORED if result.val_bpb is not None else result.status.value
    print(f"{variant.name}: {ended} {result.val_bpb or result.reason}")
    assert ended == variant.expected, (result.status, result.reason, result.log_tail[-2000:])
    if result.val_bpb is not None:
        assert 1.0 < result.val_bpb < WORST_SCORE


def test_a_text_that_is_not_there_once_is_told_with_the_variants_name() -> None:
    text = "Hypothesis: none.\n\n@@ find\nx = 1\n@@ write\nx = 2\n"
    variant = honest_corpus.parse("doubled", text)
    assert variant.program("x = 1\ny = 1\n") == b"x = 2\ny = 1\n"
    for spoilt in ("", "x = 1\nx = 1\n"):
        with pytest.raises(BrokenVariant, match="doubled: found"):
            variant.program(spoilt)


@pytest.mark.parametrize(
    "text",
    [
        "@@ find\na\n@@ write\nb\n",
        "Hypothesis: none.\n\na\n",
        "Hypothesis: none.\n\n@@ find\na\n",
        "Hypothesis: none.\n\n@@ write\na\n@@ find\nb\n",
        "Hypothesis: none.\nExpected: crash\n\n@@ find\na\n@@ write\nb\n",
    ],
)
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(BrokenVariant, match=r"odd\.?"):
        honest_corpus.parse("odd", text)


def test_what_is_not_trained_is_counted_not_hidden() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/honest"]
    shown = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=True).stdout
    assert f"{len(VARIANTS) - len(HANDFUL)} honest programs were not trained" in shown
    assert f"{len(VARIANTS) - len(HANDFUL)} deselected" in shown
