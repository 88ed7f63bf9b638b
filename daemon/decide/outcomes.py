"""Keep or discard: pure functions from scores to an answer, and from any end of an experiment to its outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from daemon.decide.answers import Answer, Discard, Keep
from daemon.decide.noise import Noise
from daemon.decide.rules import Candidate, Pair, Rule, Standing
from daemon.model import Decision, Experiment, Outcome, Summary, TrialResult, TrialStatus
from policies.interface import Verdict

# A correction beyond this is mentioned in the reason. An honest model's is 0 or, in bfloat16, rounding far below.
MATERIAL_BPB = 1e-4

_DECISION_OF_STATUS = {
    TrialStatus.CRASH: Decision.CRASH,
    TrialStatus.OOM: Decision.CRASH,
    TrialStatus.OUTPUT_LIMIT: Decision.CRASH,
    TrialStatus.TIMEOUT: Decision.TIMEOUT,
    TrialStatus.INVALID: Decision.INVALID,
}


def decide(
    champion_bpb: float | None,
    trials: Sequence[TrialResult],
    noise: Noise | None,
    rule: Rule,
    saved_nodes: int = 0,
    *,
    pairs: Sequence[Pair] = (),
    level: float = 0.05,
    affordable_pairs: int = 1_000_000,
    best_bpb: float | None = None,
) -> Answer:
    """Judge a candidate by its trials; ``champion_bpb`` is None for a baseline, which need only be scored.

    The first trial is the first run, the others its replicates, whose scores stand in ``pairs`` beside the champion's;
    see `Standing` for the rest. Nothing without a finite audited score in every trial, and in every pair, is ever kept,
    whatever the rule says.
    """
    failed = next((trial for trial in trials if trial.status is not TrialStatus.OK), None)
    if failed is not None:
        return Discard(reason=f"one of {len(trials)} trials ended as {failed.status.value}")
    first = audited_bpb(trials[:1])
    if first is None or audited_bpb(trials) is None:
        return Discard(reason="it has no finite score")
    if champion_bpb is None:
        return Keep(reason=f"the baseline, {audited_bpb(trials):.6f} bits per byte{_correction(trials)}")
    if not math.isfinite(champion_bpb) or not all(math.isfinite(pair.champion_bpb) for pair in pairs):
        return Discard(reason="the champion has no finite score to compare with")
    if not all(math.isfinite(pair.candidate_bpb) for pair in pairs):
        return Discard(reason="a replicate has no finite score")
    standing = Standing(
        champion_bpb=champion_bpb, candidate=Candidate(bpb=first, runs=len(trials), saved_nodes=saved_nodes),
        pairs=pairs, noise=noise, level=level, affordable_pairs=affordable_pairs, best_bpb=best_bpb,
    )  # fmt: skip
    answer = rule.judge(standing)
    return replace(answer, reason=answer.reason + _correction(trials))


def to_beat(champion: Experiment, rows: Iterable[Summary]) -> float:
    """The best score since the baseline that ``champion`` descends from; ``rows`` in order.

    It is the champion's own unless that one was kept for being simpler, which must not lower the bar.
    """
    earlier: list[float] = []
    for row in rows:
        if row.decision is Decision.KEEP and row.val_bpb is not None and row.number < champion.number:
            earlier = [row.val_bpb] if row.champion is None else [*earlier, row.val_bpb]
    own = audited_bpb(champion.counted)
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


def _refusal(verdict: Verdict) -> str:
    if verdict.allowed:
        raise ValueError("a verdict that allows ends nothing")
    if not verdict.findings:
        return "no policy is switched on, so nobody looked at it"
    first = verdict.findings[0]
    where = f"line {first.line}: " if first.line else ""
    more = f" (and {len(verdict.findings) - 1} more)" if len(verdict.findings) > 1 else ""
    return f"{first.rule}: {where}{first.message}{more}"
