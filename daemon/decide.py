"""Keep or discard: pure functions of scores and a rule. No I/O, no time, no randomness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.model import Decision, Outcome, TrialResult, TrialStatus
from policies.interface import Verdict

# Correcting an honest model's score moves it by rounding only; beyond this the worse of the two numbers counts.
MATERIAL_BPB = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How far a change of seed alone moves the score in this arena: standard deviation over ``runs`` runs."""

    sigma_bpb: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The candidate becomes the champion."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """It does not."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """Not enough is known: run the candidate ``runs`` more times."""

    runs: int
    reason: str


Answer = Keep | Discard | Replicate


class Rule(Protocol):
    """How a gain is judged."""

    def judge(self, champion_bpb: float, candidate_bpb: float, runs: int, noise: Noise | None) -> Answer:
        """Both scores are finite, lower is better; ``runs`` is how many trials the candidate's is the mean of."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The original rule: one run each, keep what is better by more than ``min_gain_bpb``."""

    min_gain_bpb: float = 0.0

    def judge(self, champion_bpb: float, candidate_bpb: float, runs: int, noise: Noise | None) -> Answer:
        del runs, noise
        gain = champion_bpb - candidate_bpb
        if gain > self.min_gain_bpb:
            return Keep(reason=f"better by {gain:.6f}")
        if gain > 0:
            return Discard(reason=f"better by {gain:.6f}, which is not more than {self.min_gain_bpb:g}")
        return Discard(reason=f"worse by {-gain:.6f}" if gain < 0 else "equal")


def effective_bpb(trial: TrialResult) -> float | None:
    """The score that counts: the referee's, or its audited correction where that is materially worse."""
    if trial.status is not TrialStatus.OK or trial.score is None:
        return None
    plain, corrected = trial.score.val_bpb, trial.score.corrected_bpb
    value = corrected if corrected - plain > MATERIAL_BPB else plain
    return value if math.isfinite(value) else None


def decide(champion_bpb: float | None, trials: Sequence[TrialResult], noise: Noise | None, rule: Rule) -> Answer:
    """Judge a candidate by all its trials. A baseline (no champion) that scored is kept.

    Anything that is not a finite score in every trial is a discard.
    """
    scores = [effective_bpb(trial) for trial in trials]
    finite = [score for score in scores if score is not None]
    if not finite or len(finite) < len(scores):
        return Discard(reason="not every trial has a score")
    mean = math.fsum(finite) / len(finite)
    if champion_bpb is None:
        return Keep(reason="the baseline of its arena")
    if not math.isfinite(champion_bpb):
        return Discard(reason="the champion has no score to compare with")
    return rule.judge(champion_bpb, mean, len(finite), noise)


_FAILED = {
    TrialStatus.CRASH: Decision.CRASH,
    TrialStatus.OOM: Decision.CRASH,
    TrialStatus.OUTPUT_LIMIT: Decision.CRASH,
    TrialStatus.TIMEOUT: Decision.TIMEOUT,
    TrialStatus.INVALID: Decision.INVALID,
}


def outcome_of(answer: Keep | Discard | TrialResult | Verdict) -> Outcome:
    """The decision that follows from an answer, a failing trial or a refusing verdict."""
    match answer:
        case Keep(reason=reason):
            return Outcome(decision=Decision.KEEP, reason=reason)
        case Discard(reason=reason):
            return Outcome(decision=Decision.DISCARD, reason=reason)
        case Verdict():
            return Outcome(decision=Decision.REFUSED, reason=_refusal(answer))
        case TrialResult():
            return Outcome(decision=_FAILED[answer.status], reason=f"{answer.status.value}: {answer.reason}")


def _refusal(verdict: Verdict) -> str:
    if not verdict.findings:
        return "no policy looked at it"
    first = verdict.findings[0]
    more = f" (and {len(verdict.findings) - 1} more)" if len(verdict.findings) > 1 else ""
    return f"{first.rule}, line {first.line}: {first.message}{more}"
