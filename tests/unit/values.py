"""Values for tests: one of each, and hypothesis strategies for any of each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from daemon.model import (
    Arena,
    Decision,
    Experiment,
    Lesson,
    Outcome,
    Patch,
    Phase,
    Proposal,
    Score,
    Summary,
    TrialResult,
    TrialStatus,
    Usage,
)
from daemon.phases import Abandoned, Closed, Committed, Interrupted, TrialStarted
from policies.interface import Finding, Verdict

ARENA = Arena(
    prepare_sha256="a" * 64,
    manifest_sha256="b" * 64,
    image_contents="c" * 64,
    device="cpu, 2 cores",
    torch_version="2.13.0",
    train_seconds=300.0,
    clock="data",
    sandbox="docker",
)
BASE = "0123456789abcdef0123456789abcdef01234567"
PROPOSAL = Proposal(
    hypothesis="a higher learning rate", patch=Patch(train_py=b"LR = 2\n", base_commit=BASE), proposer="optuna"
)
ALLOWED = Verdict(rules=("imports",), findings=())
REFUSED = Verdict(
    rules=("imports",), findings=(Finding(rule="imports", line=3, column=1, message="socket", instead="torch"),)
)
SCORE = Score(
    val_bpb=1.5,
    corrected_bpb=1.5,
    tokens=1000,
    bytes=4000,
    referee_sha256="d" * 64,
    audit={"moved": 0, "power": "99 %"},
)
TRIAL = TrialResult(
    status=TrialStatus.OK,
    reason="",
    seed=1,
    score=SCORE,
    claimed={"peak_vram_mb": 2048.0},
    train_wall_seconds=300.25,
    total_seconds=320.5,
)
CRASH = TrialResult(status=TrialStatus.CRASH, reason="ZeroDivisionError", seed=1)
KEEP = Outcome(decision=Decision.KEEP, reason="it is better")
DISCARD = Outcome(decision=Decision.DISCARD, reason="it is worse")


def scored(bpb: float) -> TrialResult:
    return replace(TRIAL, score=replace(SCORE, val_bpb=bpb))


def summary(number: int, decision: Decision | None, val_bpb: float | None, **changes: object) -> Summary:
    fields: dict[str, object] = {
        "number": number,
        "arena": ARENA.fingerprint,
        "phase": Phase.CLOSED if decision else Phase.INTERRUPTED,
        "opened_at": "2026-01-01T00:00:00.000Z",
        "closed_at": None,
        "champion": None,
        "hypothesis": f"idea {number}",
        "proposer": "optuna",
        "decision": decision,
        "reason": "",
        "status": TrialStatus.OK,
        "val_bpb": val_bpb,
        "commit": f"{number:07x}" + "0" * 33,
        "trials": 1,
        "peak_vram_mb": None,
        "startup_seconds": 1.0,
        "train_wall_seconds": 300.0,
        "score_seconds": 2.0,
        "total_seconds": 310.0,
        "base_commit": "b" * 40,
        "patch_sha256": "a" * 64,
        "fingerprint": "",
        "ticket": "",
        "lesson": "",
        "tokens": 0,
        "usd": 0.0,
        "rivals": 0,
        "gain_bpb": None,
        "replicate_seconds": 0.0,
    }
    return Summary(**(fields | changes))  # type: ignore[arg-type]


def experiment(**changes: object) -> Experiment:
    fields: dict[str, object] = {
        "number": 3,
        "arena": ARENA.fingerprint,
        "base_commit": BASE,
        "champion": 0,
        "phase": Phase.DECIDED,
        "opened_at": "2026-01-01T00:00:00.000Z",
        "proposal": PROPOSAL,
        "verdict": ALLOWED,
        "trials": (TRIAL,),
        "outcome": KEEP,
    }
    return Experiment(**(fields | changes))  # type: ignore[arg-type]


TEXTS = st.text(max_size=40)
FLOATS = st.floats(allow_nan=False)
SECONDS = st.floats(0, 1e6)
HEX = st.text("0123456789abcdef", min_size=40, max_size=40)

proposals = st.builds(
    Proposal, hypothesis=TEXTS, proposer=TEXTS, patch=st.builds(Patch, train_py=st.binary(max_size=99), base_commit=HEX)
)
findings = st.builds(
    Finding, rule=TEXTS, line=st.integers(0, 9999), column=st.integers(0, 999), message=TEXTS, instead=TEXTS
)
verdicts = st.builds(
    Verdict,
    rules=st.lists(TEXTS, max_size=3).map(tuple),
    findings=st.one_of(st.just(()), st.lists(findings, max_size=2).map(tuple)),
)
scores = st.builds(
    Score,
    val_bpb=FLOATS,
    corrected_bpb=FLOATS,
    tokens=st.integers(0),
    bytes=st.integers(0),
    referee_sha256=TEXTS,
    audit=st.dictionaries(TEXTS, st.one_of(FLOATS, st.integers(), TEXTS), max_size=4),
)
trial_results = st.builds(
    TrialResult,
    status=st.sampled_from(TrialStatus),
    reason=TEXTS,
    seed=st.integers(0, 2**32),
    score=st.none() | scores,
    claimed_bpb=st.none() | FLOATS,
    claimed=st.none() | st.dictionaries(TEXTS, FLOATS, max_size=3),
    exit_code=st.none() | st.integers(-9, 255),
    startup_seconds=SECONDS,
    charged_seconds=SECONDS,
    train_wall_seconds=SECONDS,
    score_seconds=SECONDS,
    total_seconds=SECONDS,
    log_tail=TEXTS,
)
outcomes = st.builds(Outcome, decision=st.sampled_from(Decision), reason=TEXTS)
anything = st.one_of(
    proposals,
    verdicts,
    st.builds(TrialStarted, seed=st.integers(0, 2**40)),
    trial_results,
    outcomes,
    st.builds(Committed, commit=HEX),
    st.builds(Interrupted, reason=TEXTS),
    st.builds(Abandoned, reason=TEXTS),
    st.just(Closed()),
    st.builds(Lesson, text=TEXTS),
    st.builds(
        Usage,
        purpose=TEXTS,
        model=TEXTS,
        input_tokens=st.integers(0, 2**40),
        usd=st.none() | st.floats(0, 1e6),
        requests=st.lists(TEXTS, max_size=3).map(tuple),
    ),
)
