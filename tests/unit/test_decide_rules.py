"""The replicated rule and the tie-break: when a test begins, when it ends, and what no luck can do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daemon.decide import (
    Answer,
    Candidate,
    Discard,
    Greedy,
    Keep,
    Noise,
    Pair,
    Replicate,
    Replicated,
    Rule,
    Simpler,
    Standing,
)

RULE = Replicated()
NOISE = Noise(sigma_bpb=0.001, runs=20, groups=5)
SCORE = 1.0


def standing(first: float, *gains: float, saved_nodes: int = 0, **changed: object) -> Standing:
    """``first`` and ``gains`` are better by so many σ."""
    pairs = tuple(Pair(champion_bpb=SCORE, candidate_bpb=SCORE - gain * NOISE.sigma_bpb) for gain in gains)
    candidate = Candidate(bpb=SCORE - first * NOISE.sigma_bpb, saved_nodes=saved_nodes)
    found = Standing(champion_bpb=SCORE, candidate=candidate, pairs=pairs, noise=NOISE, level=0.02)
    return replace(found, **changed)  # type: ignore[arg-type]


def rank(answer: Answer) -> int:
    return [Discard, Replicate, Keep].index(type(answer))


@pytest.mark.parametrize(("first", "answer"), [(-3, Discard), (0, Discard), (1.2, Discard), (1.3, Replicate)])
def test_a_first_run_is_only_ever_a_reason_to_measure(first: float, answer: type) -> None:
    assert isinstance(RULE.judge(standing(first)), answer)


@given(st.floats(1.3, 1e6))
def test_the_luckiest_first_run_is_replicated(first: float) -> None:
    assert isinstance(RULE.judge(standing(first)), Replicate)


@pytest.mark.parametrize(
    ("gains", "answer"),
    [
        ((8.0,), Keep),  # a clear win needs one pair
        ((2.0,), Replicate),
        ((0.0,), Discard),
        ((-5.0,), Discard),
        ((2.0, -2.5), Discard),
        ((2.3, 2.3, 2.3, 2.3), Keep),
        ((0.7, 0.7, 0.7), Replicate),
        ((0.7, 0.7, 0.7, 0.7, 0.7, 0.7), Discard),  # the last pair
    ],
)
def test_pairs_decide(gains: tuple[float, ...], answer: type) -> None:
    found = RULE.judge(standing(9.0, *gains))
    assert isinstance(found, answer)
    assert f"over {len(gains)} fresh" in found.reason


def test_a_gain_that_is_sure_but_small_is_no_keep() -> None:
    rule = Replicated(min_gain_bpb=0.005)
    assert isinstance(rule.judge(standing(9.0, 4.9, 4.9, 4.9, 4.9, 4.9, 4.9)), Discard)
    assert isinstance(rule.judge(standing(9.0, 5.1, 5.1)), Keep)
    assert isinstance(rule.judge(standing(4.9)), Discard)


def test_the_budget_ends_what_it_cannot_pay() -> None:
    for one in (standing(5.0, affordable_pairs=0), standing(5.0, 2.0, affordable_pairs=0)):
        answer = RULE.judge(one)
        assert isinstance(answer, Discard)
        assert "budget for replicates is spent" in answer.reason
    assert isinstance(RULE.judge(standing(5.0, 8.0, affordable_pairs=0)), Keep)  # what is sure needs no more


def test_a_hardly_known_sigma_asks_for_more() -> None:
    """5.5 σ in one pair are enough with 40 degrees of freedom, and not with 4."""
    assert isinstance(RULE.judge(standing(9.0, 5.5, noise=Noise(sigma_bpb=0.001, runs=41))), Keep)
    assert isinstance(RULE.judge(standing(9.0, 5.5, noise=Noise(sigma_bpb=0.001, runs=5))), Replicate)


@pytest.mark.parametrize("noise", [None, Noise(sigma_bpb=0.001, runs=1)])
def test_without_noise_the_pairs_must_tell_it(noise: Noise | None) -> None:
    assert isinstance(RULE.judge(standing(0.0, noise=noise)), Discard)
    assert isinstance(RULE.judge(standing(0.1, noise=noise)), Replicate)
    assert isinstance(RULE.judge(standing(0.1, 50.0, noise=noise)), Replicate)


def test_without_any_noise_a_gain_is_a_gain() -> None:
    still = Noise(sigma_bpb=0.0, runs=5)
    assert isinstance(RULE.judge(standing(0.1, 0.1, noise=still)), Keep)
    assert isinstance(RULE.judge(standing(0.1, 0.0, noise=still)), Discard)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_kept(bad: float) -> None:
    for rule in (RULE, Simpler(rule=RULE, equal_bpb=0.01, test=RULE)):
        for one in (standing(9.0, bad, saved_nodes=99), standing(9.0, 9.0, bad, saved_nodes=99)):
            assert isinstance(rule.judge(one), Discard)
    assert isinstance(RULE.judge(standing(math.nan)), Discard)


WRONG = [
    {"max_pairs": 0},
    {"shape": 0.0},
    {"band_sigmas": math.nan},
    {"min_gain_bpb": -1.0},
    {"hopeless": math.inf},
    {"settle_runs": 0},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_senseless_rule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no test can be made|but must be"):
        Replicated(**wrong)  # type: ignore[arg-type]


SIMPLER = Simpler(rule=RULE, equal_bpb=0.0, test=RULE, equal_sigmas=2.0)
RULES: list[Rule] = [Greedy(min_gain_bpb=0.0005), RULE, SIMPLER, Simpler(rule=Greedy(min_gain_bpb=0), equal_bpb=0.001)]
GAINS = st.lists(st.floats(-9, 9), max_size=7)


@settings(deadline=None)
@given(st.sampled_from(RULES), st.floats(-9, 9), GAINS, st.floats(0, 5), st.sampled_from([0, 99]), st.integers(0, 1))
def test_a_better_candidate_is_never_judged_worse(
    rule: Rule, first: float, gains: list[float], better: float, saved: int, pairs_left: int
) -> None:
    """Every one of its runs better, the same noise."""
    worse = standing(first, *gains, saved_nodes=saved, affordable_pairs=pairs_left)
    shifted = standing(first + better, *[g + better for g in gains], saved_nodes=saved, affordable_pairs=pairs_left)
    assert rank(rule.judge(shifted)) >= rank(rule.judge(worse))


@settings(deadline=None)
@given(st.sampled_from(RULES), st.floats(-9, 9), GAINS)
def test_what_is_not_discarded_was_within_reach(rule: Rule, first: float, gains: list[float]) -> None:
    one = standing(first, saved_nodes=99)
    assume(not isinstance(rule.judge(one), Discard))
    assert one.candidate.bpb <= rule.reach(one.champion_bpb, one.noise)


def test_an_equal_score_is_shown_by_replicates() -> None:
    assert isinstance(SIMPLER.judge(standing(-1.9, saved_nodes=10)), Replicate)
    assert isinstance(SIMPLER.judge(standing(-1.9, saved_nodes=9)), Discard)
    kept = SIMPLER.judge(standing(-1.0, 0.1, -0.1, 0.0, 0.0, 0.0, saved_nodes=10))
    assert isinstance(kept, Keep)
    assert kept.reason.startswith("simpler by 10 syntax nodes at an equal score (over 5 fresh pairs")
    assert isinstance(SIMPLER.judge(standing(-1.0, -2.5, saved_nodes=10)), Discard)


def test_a_gain_beside_simplicity_is_told_as_a_gain() -> None:
    kept = SIMPLER.judge(standing(9.0, 9.0, saved_nodes=10))
    assert isinstance(kept, Keep)
    assert kept.reason.startswith("over 1 fresh pair it was better")


def test_a_simpler_program_may_not_fall_behind_the_best() -> None:
    """The champion may be a little worse than the best since the baseline; a row of such keeps ends there."""
    best = SCORE - 2.5 * NOISE.sigma_bpb
    pairs = (0.0,) * 5
    assert isinstance(SIMPLER.judge(standing(-1.0, *pairs, saved_nodes=10)), Keep)
    assert isinstance(SIMPLER.judge(standing(-1.0, *pairs, saved_nodes=10, best_bpb=best)), Discard)
    assert isinstance(SIMPLER.judge(standing(0.0, saved_nodes=10, best_bpb=best)), Discard)


def test_the_error_of_the_whole_test_holds() -> None:
    """No gain, σ from five baseline runs and the test's own: kept no more often than was said."""
    random, kept, tests, level = np.random.default_rng(6), 0, 1500, 0.05
    for _ in range(tests):
        squares = float(random.chisquare(4))
        pairs: list[Pair] = []
        answer: Answer = Replicate(pairs=1, reason="")
        while isinstance(answer, Replicate):
            pairs.append(Pair(champion_bpb=float(random.normal()), candidate_bpb=float(random.normal())))
            runs = np.array([[p.champion_bpb, p.candidate_bpb] for p in pairs])
            within = float(((runs - runs.mean(axis=0)) ** 2).sum())
            degrees = 4 + 2 * (len(pairs) - 1)
            noise = Noise(sigma_bpb=math.sqrt((squares + within) / degrees), runs=degrees + 3, groups=3)
            answer = RULE.judge(
                Standing(champion_bpb=0, candidate=Candidate(bpb=-9), pairs=pairs, noise=noise, level=level)
            )
        kept += isinstance(answer, Keep)
    assert kept / tests <= level + 2 * math.sqrt(level / tests)
    assert kept > 0
