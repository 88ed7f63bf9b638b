"""Keep or discard: pure functions from scores to an answer, and from any end of an experiment to its outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.model import Decision, Experiment, Outcome, Summary, TrialResult, TrialStatus
from policies.interface import Verdict

# A correction beyond this is mentioned in the reason. An honest model's is 0 or, in bfloat16, rounding far below.
MATERIAL_BPB = 1e-4
MIN_SAVED_NODES = 10

_DECISION_OF_STATUS = {
    TrialStatus.CRASH: Decision.CRASH,
    TrialStatus.OOM: Decision.CRASH,
    TrialStatus.OUTPUT_LIMIT: Decision.CRASH,
    TrialStatus.TIMEOUT: Decision.TIMEOUT,
    TrialStatus.INVALID: Decision.INVALID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The candidate becomes the champion."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """The champion stays."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """Not sure: run the candidate so many times more, then ask again."""

    runs: int
    reason: str


Answer = Keep | Discard | Replicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviation of val_bpb over seeds, estimated from so many runs of the baseline."""

    sigma_bpb: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a rule judges: the mean audited score (bits per byte) over all its trials, every one of them scored.

    ``saved_nodes`` is by how many nodes its syntax tree is smaller than the champion's.
    """

    bpb: float
    runs: int
    saved_nodes: int = 0


class Rule(Protocol):
    """How sure one must be. Pure; a better score must never be judged worse."""

    def judge(self, champion_bpb: float, candidate: Candidate, noise: Noise | None) -> Answer: ...

    def reach(self, champion_bpb: float) -> float:
        """The highest score (bits per byte) that may still be kept: what is at or below it deserves a second audit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The original rule: keep what is better by more than ``min_gain_bpb``. An equal score is discarded."""

    min_gain_bpb: float

    def __post_init__(self) -> None:
        if not 0 <= self.min_gain_bpb < math.inf:
            raise ValueError(f"min_gain_bpb is {self.min_gain_bpb}, but must be 0 or more")

    def judge(self, champion_bpb: float, candidate: Candidate, noise: Noise | None) -> Answer:  # noqa: ARG002
        gain = champion_bpb - candidate.bpb
        if candidate.bpb < champion_bpb - self.min_gain_bpb:
            return Keep(reason=f"better by {gain:.6f} bits per byte ({champion_bpb:.6f} → {candidate.bpb:.6f})")
        if gain > 0:
            return Discard(reason=f"better by only {gain:.6f} bits per byte; {self.min_gain_bpb:g} count as a gain")
        return Discard(reason=f"worse by {-gain:.6f} bits per byte" if gain < 0 else "no better than the champion")

    def reach(self, champion_bpb: float) -> float:
        return champion_bpb


@dataclass(frozen=True, slots=True, kw_only=True)
class Simpler:
    """Another rule, and beside it: an equal score with less program is a keep.

    Equal is no worse than the score to beat by ``equal_bpb``; that score stays as it is, so a row of such keeps cannot
    walk away from it. Less is ``MIN_SAVED_NODES`` nodes of the syntax tree, about a plain line.
    """

    rule: Rule
    equal_bpb: float

    def __post_init__(self) -> None:
        if not 0 <= self.equal_bpb < math.inf:
            raise ValueError(f"equal_bpb is {self.equal_bpb}, but must be 0 or more")

    def judge(self, champion_bpb: float, candidate: Candidate, noise: Noise | None) -> Answer:
        answer = self.rule.judge(champion_bpb, candidate, noise)
        if candidate.saved_nodes < MIN_SAVED_NODES or candidate.bpb > self.reach(champion_bpb):
            return answer
        if not isinstance(answer, Discard):
            return answer
        return Keep(
            reason=f"simpler by {candidate.saved_nodes} syntax nodes at an equal score "
            f"({champion_bpb:.6f} → {candidate.bpb:.6f}; up to {self.equal_bpb:g} is equal)"
        )

    def reach(self, champion_bpb: float) -> float:
        return max(self.rule.reach(champion_bpb), champion_bpb + self.equal_bpb)


def decide(
    champion_bpb: float | None, trials: Sequence[TrialResult], noise: Noise | None, rule: Rule, saved_nodes: int = 0
) -> Answer:
    """Judge a candidate by its trials; ``champion_bpb`` is None for a baseline, which need only be scored.

    Nothing without a finite audited score in every trial is ever kept, whatever the rule says.
    """
    failed = next((trial for trial in trials if trial.status is not TrialStatus.OK), None)
    if failed is not None:
        return Discard(reason=f"one of {len(trials)} trials ended as {failed.status.value}")
    bpb = audited_bpb(trials)
    if bpb is None:
        return Discard(reason="it has no finite score")
    if champion_bpb is None:
        return Keep(reason=f"the baseline, {bpb:.6f} bits per byte{_correction(trials)}")
    if not math.isfinite(champion_bpb):
        return Discard(reason="the champion has no finite score to compare with")
    answer = rule.judge(champion_bpb, Candidate(bpb=bpb, runs=len(trials), saved_nodes=saved_nodes), noise)
    return _with_reason(answer, answer.reason + _correction(trials))


def to_beat(champion: Experiment, rows: Iterable[Summary]) -> float:
    """The best score since the baseline that ``champion`` descends from; ``rows`` in order.

    It is the champion's own unless that one was kept for being simpler, which must not lower the bar.
    """
    earlier: list[float] = []
    for row in rows:
        if row.decision is Decision.KEEP and row.val_bpb is not None and row.number < champion.number:
            earlier = [row.val_bpb] if row.champion is None else [*earlier, row.val_bpb]
    own = audited_bpb(champion.trials)
    if own is None or champion.champion is None:
        return math.nan if own is None else own
    return min([own, *earlier])


def audited_bpb(trials: Sequence[TrialResult]) -> float | None:
    """The mean score that decisions use: of each trial the worse of measured and corrected.

    None unless every trial has a finite score. Compare champions by this number too.
    """
    scores = [_audited(trial) for trial in trials]
    if not scores or not all(math.isfinite(score) for score in scores):
        return None
    mean = sum(scores) / len(scores)
    return min(max(mean, min(scores)), max(scores))  # rounding must not move a mean of equals


def outcome_of(end: Keep | Discard | TrialResult | Verdict) -> Outcome:
    """How an experiment ended: by an answer, by a trial that failed, or by a verdict that refused it.

    Raises:
        ValueError: nothing has ended: the trial is ok, or the verdict allows.
    """
    if isinstance(end, Keep):
        return Outcome(decision=Decision.KEEP, reason=end.reason)
    if isinstance(end, Discard):
        return Outcome(decision=Decision.DISCARD, reason=end.reason)
    if isinstance(end, Verdict):
        return Outcome(decision=Decision.REFUSED, reason=_refusal(end))
    if end.status is TrialStatus.OK:
        raise ValueError("a trial that is ok is judged by decide()")
    return Outcome(decision=_DECISION_OF_STATUS[end.status], reason=end.reason or end.status.value)


def _audited(trial: TrialResult) -> float:
    score = trial.score
    if score is None or not math.isfinite(score.val_bpb) or not math.isfinite(score.corrected_bpb):
        return math.nan
    return max(score.val_bpb, score.corrected_bpb)


def _is_material(trial: TrialResult) -> bool:
    return trial.score is not None and abs(trial.score.corrected_bpb - trial.score.val_bpb) > MATERIAL_BPB


def _correction(trials: Sequence[TrialResult]) -> str:
    corrected = sum(_is_material(trial) for trial in trials)
    if not corrected:
        return ""
    return f"; in {corrected} of {len(trials)} trials the audit's correction was material and the worse number was used"


def _with_reason(answer: Answer, reason: str) -> Answer:
    if isinstance(answer, Replicate):
        return Replicate(runs=answer.runs, reason=reason)
    return Keep(reason=reason) if isinstance(answer, Keep) else Discard(reason=reason)


def _refusal(verdict: Verdict) -> str:
    if verdict.allowed:
        raise ValueError("a verdict that allows ends nothing")
    if not verdict.findings:
        return "no policy is switched on, so nobody looked at it"
    first = verdict.findings[0]
    where = f"line {first.line}: " if first.line else ""
    more = f" (and {len(verdict.findings) - 1} more)" if len(verdict.findings) > 1 else ""
    return f"{first.rule}: {where}{first.message}{more}"
