"""Keep or discard: what is judged, by which number, and what can never happen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import ALLOWED, CRASH, REFUSED, SCORE, TRIAL, experiment, scored, summary

from daemon.decide import (
    Answer,
    Discard,
    Greedy,
    Keep,
    Noise,
    Replicate,
    Simpler,
    Standing,
    audited_bpb,
    decide,
    outcome_of,
    to_beat,
)
from daemon.model import Decision, Summary, TrialResult, TrialStatus
from policies.interface import Verdict

GREEDY = Greedy(min_gain_bpb=0.01)
FAILED = [status for status in TrialStatus if status is not TrialStatus.OK]


def audited(val_bpb: float, corrected_bpb: float) -> TrialResult:
    return replace(TRIAL, score=replace(SCORE, val_bpb=val_bpb, corrected_bpb=corrected_bpb))


def even(bpb: float) -> TrialResult:
    return audited(bpb, bpb)


@pytest.mark.parametrize(
    ("champion", "candidate", "kept"),
    [(1.5, 1.48, True), (1.5, 1.495, False), (1.5, 1.49, False), (1.5, 1.5, False), (1.5, 1.6, False)],
)
def test_greedy_keeps_what_is_better_by_more_than_the_minimum(champion: float, candidate: float, kept: bool) -> None:
    answer = decide(champion, [even(candidate)], Noise(sigma_bpb=9.0, runs=3), GREEDY)
    assert isinstance(answer, Keep if kept else Discard)
    assert answer.reason


def test_an_equal_score_is_a_discard_even_without_a_minimum() -> None:
    assert isinstance(decide(1.5, [even(1.5)], None, Greedy(min_gain_bpb=0.0)), Discard)


def test_a_baseline_that_scored_is_kept() -> None:
    assert isinstance(decide(None, [even(9.0)], None, GREEDY), Keep)
    assert isinstance(decide(None, [CRASH], None, GREEDY), Discard)
    assert isinstance(decide(None, [], None, GREEDY), Discard)


def test_the_worse_of_measured_and_corrected_counts_and_is_told() -> None:
    assert audited_bpb([audited(1.3, 1.6), audited(1.4, 1.2)]) == pytest.approx(1.5)
    answer = decide(1.5, [audited(1.0, 1.6)], None, GREEDY)
    assert isinstance(answer, Discard)
    assert "in 1 of 1 trials the audit's correction was material" in answer.reason
    assert "correction" not in decide(1.5, [audited(1.4, 1.400001)], None, GREEDY).reason


def test_the_rule_is_asked_and_its_answer_is_passed_on() -> None:
    class Unsure:
        def judge(self, standing: Standing) -> Answer:
            assert (standing.champion_bpb, standing.candidate.bpb, standing.candidate.runs) == (1.5, 1.4, 2)
            return Replicate(pairs=3, reason="within the noise")

        def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
            return champion_bpb

    answer = decide(1.5, [audited(1.2, 1.4), even(1.4)], None, Unsure())
    assert isinstance(answer, Replicate)
    assert answer.pairs == 3
    assert answer.reason.startswith("within the noise; in 1 of 2 trials")


@pytest.mark.parametrize("gain", [-0.1, math.nan, math.inf])
def test_a_senseless_minimum_is_refused(gain: float) -> None:
    with pytest.raises(ValueError, match="min_gain_bpb"):
        Greedy(min_gain_bpb=gain)


FINITE = st.floats(-1e300, 1e300, allow_subnormal=False)
GAINS = st.floats(0, 10)
SIMPLER = Simpler(rule=GREEDY, equal_bpb=0.002)


@pytest.mark.parametrize(
    ("bpb", "saved_nodes", "kept"),
    [
        (1.5, 10, True),
        (1.502, 10, True),  # as much worse as counts for equal
        (1.5021, 10, False),
        (1.495, 10, True),  # a gain too small to count, and simpler
        (1.5, 9, False),  # not a line less
        (1.5, -300, False),
        (1.48, -300, True),  # a gain needs no simplicity
    ],
)
def test_an_equal_score_with_less_program_is_a_keep(bpb: float, saved_nodes: int, kept: bool) -> None:
    assert isinstance(decide(1.5, [even(bpb)], None, SIMPLER, saved_nodes), Keep if kept else Discard)


def test_the_reason_says_how_much_simpler() -> None:
    answer = decide(1.5, [even(1.501)], None, SIMPLER, 100)
    assert answer.reason.startswith("simpler by 100 syntax nodes at an equal score (1.500000 → 1.501000")


def test_a_row_of_simpler_champions_does_not_lower_the_bar() -> None:
    """Each is judged by the best since the baseline, not by the last, which may be a little worse."""

    def row(number: int, bpb: float, champion: int | None, decision: Decision = Decision.KEEP) -> Summary:
        return summary(number, decision, bpb, champion=champion)

    eighth = experiment(number=8, champion=6, trials=(even(1.502),))
    rows = [
        row(1, 1.1, None),  # of another branch, which was left
        row(2, 1.2, 1),
        row(5, 1.6, None),
        row(6, 1.5, 5),
        row(7, 1.0, 6, Decision.INVALID),
        row(8, 1.502, 6),
        row(9, 0.9, 8),
    ]
    assert to_beat(eighth, rows) == 1.5
    baseline = experiment(number=10, champion=None, trials=(even(1.7),))
    assert to_beat(baseline, rows) == 1.7
    assert math.isnan(to_beat(replace(eighth, trials=()), rows))


@given(FINITE, FINITE, st.integers(-999, 999), GAINS, GAINS)
def test_what_is_kept_is_within_reach(champion: float, bpb: float, saved: int, gain: float, equal: float) -> None:
    for rule in (Greedy(min_gain_bpb=gain), Simpler(rule=Greedy(min_gain_bpb=gain), equal_bpb=equal)):
        if isinstance(decide(champion, [even(bpb)], None, rule, saved), Keep):
            assert bpb <= rule.reach(champion)


@pytest.mark.parametrize("equal", [-0.1, math.nan, math.inf])
def test_a_senseless_equality_is_refused(equal: float) -> None:
    with pytest.raises(ValueError, match="equal_bpb"):
        Simpler(rule=GREEDY, equal_bpb=equal)


ANY = st.floats() | st.none()
LISTS = st.lists(st.builds(audited, st.floats(), st.floats()) | st.just(CRASH) | st.just(replace(TRIAL, score=None)))


class Eager:
    """A rule that would keep anything."""

    def judge(self, standing: Standing) -> Answer:
        return Keep(reason="why not")

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
        return math.inf


@given(ANY, LISTS, GAINS, st.booleans())
def test_nothing_without_a_finite_score_is_ever_kept(
    champion: float | None, trials: list[TrialResult], gain: float, eager: bool
) -> None:
    answer = decide(champion, trials, None, Eager() if eager else Greedy(min_gain_bpb=gain))
    if not isinstance(answer, Discard):
        assert trials
        assert champion is None or math.isfinite(champion)
        assert all(t.score is not None and t.status is TrialStatus.OK for t in trials)
        numbers = [n for t in trials if t.score for n in (t.score.val_bpb, t.score.corrected_bpb)]
        assert all(math.isfinite(number) for number in numbers)


@given(FINITE, FINITE, FINITE, GAINS)
def test_a_better_score_is_never_judged_worse(champion: float, a: float, b: float, gain: float) -> None:
    better, worse = sorted((a, b))
    if isinstance(decide(champion, [even(worse)], None, Greedy(min_gain_bpb=gain)), Keep):
        assert isinstance(decide(champion, [even(better)], None, Greedy(min_gain_bpb=gain)), Keep)


@given(FINITE, st.lists(st.floats(), min_size=1), st.sampled_from(FAILED), st.integers(0), GAINS)
def test_a_failing_trial_never_turns_a_discard_into_a_keep(
    champion: float, scores: list[float], status: TrialStatus, at: int, gain: float
) -> None:
    trials = [even(score) for score in scores]
    trials.insert(at % (len(trials) + 1), replace(even(0.5), status=status))  # with a score, though none should have
    assert isinstance(decide(champion, trials, None, Greedy(min_gain_bpb=gain)), Discard)


@given(FINITE, GAINS, st.integers(1, 9))
def test_repeating_the_champion_is_never_a_gain(bpb: float, gain: float, runs: int) -> None:
    assert isinstance(decide(bpb, [even(bpb)] * runs, None, Greedy(min_gain_bpb=gain)), Discard)


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        (TrialStatus.CRASH, Decision.CRASH),
        (TrialStatus.OOM, Decision.CRASH),
        (TrialStatus.OUTPUT_LIMIT, Decision.CRASH),
        (TrialStatus.TIMEOUT, Decision.TIMEOUT),
        (TrialStatus.INVALID, Decision.INVALID),
    ],
)
def test_how_a_failing_trial_ends_an_experiment(status: TrialStatus, decision: Decision) -> None:
    outcome = outcome_of(replace(CRASH, status=status, reason="because"))
    assert (outcome.decision, outcome.reason) == (decision, "because")
    assert outcome_of(replace(CRASH, status=status, reason="")).reason == status.value


def test_how_an_answer_or_a_verdict_ends_an_experiment() -> None:
    assert outcome_of(Keep(reason="a")).decision is Decision.KEEP
    assert outcome_of(Discard(reason="b")).reason == "b"
    assert outcome_of(REFUSED).decision is Decision.REFUSED
    assert outcome_of(REFUSED).reason == "imports: line 3: socket"
    twice = replace(REFUSED, findings=REFUSED.findings * 2)
    assert outcome_of(twice).reason == "imports: line 3: socket (and 1 more)"
    assert "nobody looked" in outcome_of(Verdict(rules=(), findings=())).reason


@pytest.mark.parametrize("end", [scored(1.5), ALLOWED])
def test_what_has_not_ended_has_no_outcome(end: TrialResult | Verdict) -> None:
    with pytest.raises(ValueError, match=r"ends nothing|is judged"):
        outcome_of(end)
