"""What is claimed of a champion, and when it is taken back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.decide import Noise, Spread, champion_estimate, is_demoted, spread

NOISE = Noise(sigma_bpb=0.001, runs=41)
WIDE = Spread(scales_bpb=(1.0,), weights=(1.0,))


def test_a_baseline_is_the_mean_of_its_runs() -> None:
    found = champion_estimate([[1.0, 1.002]], Noise(sigma_bpb=0.001, runs=5), WIDE)
    assert found.bpb == pytest.approx(1.001)
    assert found.error_bpb == pytest.approx(0.001 / math.sqrt(2))
    assert found.high - found.bpb == pytest.approx(2.776445 * found.error_bpb, rel=1e-5)
    assert (found.bpb - found.low, found.runs) == (pytest.approx(found.high - found.bpb), 2)


def test_one_scale_is_the_textbook_posterior() -> None:
    """Prior variance 3 + 1 (the parent's), one run with variance 1: four fifths of the way."""
    one = Noise(sigma_bpb=1.0, runs=41)
    found = champion_estimate([[10.0], [5.0]], one, Spread(scales_bpb=(math.sqrt(3),), weights=(1.0,)))
    assert found.bpb == pytest.approx(6.0)
    assert found.error_bpb == pytest.approx(math.sqrt(0.8))


def test_few_runs_are_pulled_towards_the_parent_and_many_are_not() -> None:
    gains = spread([], NOISE)
    parent = [1.0] * 5
    few = champion_estimate([parent, [0.998]], NOISE, gains).bpb
    many = champion_estimate([parent, [0.998] * 30], NOISE, gains).bpb
    large = champion_estimate([parent, [0.98]], NOISE, gains).bpb
    assert 0.998 < many < few < 1.0
    assert many == pytest.approx(0.998, abs=1e-4)
    assert large - 0.98 < few - 0.998  # so large a gain is no luck


def test_the_spread_is_learnt_from_the_lab() -> None:
    small = spread([0.0005, -0.0003, 0.0001, 0.0004] * 5, NOISE)
    large = spread([0.009, 0.014, 0.004, 0.011] * 5, NOISE)
    run = [[1.0] * 5, [0.998]]
    assert champion_estimate(run, NOISE, small).bpb > champion_estimate(run, NOISE, large).bpb
    assert sum(small.weights) == pytest.approx(1)


def test_what_was_selected_for_its_luck_is_not_claimed() -> None:
    """Kept for two good replicates: their mean claims too much, the estimate little or nothing."""
    random, sigma = np.random.default_rng(7), 0.001
    true = random.exponential(0.0015, 4000) * random.choice([0, 1], 4000)
    runs = -true[:, None] + random.normal(0, sigma, (4000, 2))
    first_pairs = true[:60] + random.normal(0, math.sqrt(2) * sigma, 60)
    gains = spread(first_pairs.tolist(), NOISE)
    kept = runs.mean(axis=1) < -2 * sigma
    naive = (runs.mean(axis=1) + true)[kept] / sigma
    base = [0.0] * 20
    claimed = [champion_estimate([base, pair.tolist()], NOISE, gains).bpb for pair in runs[kept]]
    corrected = (np.array(claimed) + true[kept]) / sigma
    assert naive.mean() < -0.3
    assert abs(corrected.mean()) < 0.25


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random, sigma, held = np.random.default_rng(8), 0.001, 0
    gains = Spread(scales_bpb=(0.0005, 0.004), weights=(0.5, 0.5))
    for _ in range(1500):
        gain = random.normal(0, random.choice(gains.scales_bpb))
        lineage = [random.normal(0, sigma, 5).tolist(), random.normal(-gain, sigma, 3).tolist()]
        found = champion_estimate(lineage, NOISE, gains)
        held += found.low <= -gain <= found.high
    assert held / 1500 == pytest.approx(0.95, abs=0.025)


def test_degenerate_lineages() -> None:
    still = Noise(sigma_bpb=0.0, runs=5)
    found = champion_estimate([[1.0], [0.9]], still, spread([0.1], still))
    assert (found.bpb, found.low, found.high) == (0.9, 0.9, 0.9)
    assert champion_estimate([[1.0], []], NOISE, WIDE).bpb == 1.0
    for none in ([], [[]]):
        with pytest.raises(ValueError, match="no run to start from"):
            champion_estimate(none, NOISE, WIDE)


def test_a_keep_is_taken_back_when_later_runs_contradict_it() -> None:
    parent = [1.0] * 5
    assert is_demoted(parent, [1.004, 1.005, 1.004], NOISE, 0.01)
    assert not is_demoted(parent, [1.0005, 1.0004], NOISE, 0.01)  # no better, but who knows
    assert not is_demoted(parent, [0.9] * 3, NOISE, 0.01)
    assert not is_demoted(parent, [], NOISE, 0.01)
    assert not is_demoted([], [1.0], NOISE, 0.01)


def test_a_keep_that_is_as_good_is_hardly_ever_taken_back() -> None:
    """Asked after each of eight later runs."""
    random, level, labs = np.random.default_rng(9), 0.05, 3000
    demoted = 0
    for parent, later in zip(random.normal(0, 0.001, (labs, 4)), random.normal(0, 0.001, (labs, 8)), strict=True):
        demoted += any(is_demoted(parent.tolist(), later[:n].tolist(), NOISE, level) for n in range(1, 9))
    assert demoted / labs <= level


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_a_better_later_run_never_demotes(parent: list[float], later: list[float]) -> None:
    if not is_demoted(parent, later, NOISE, 0.01):
        assert not is_demoted(parent, [run - 0.5 for run in later], NOISE, 0.01)
