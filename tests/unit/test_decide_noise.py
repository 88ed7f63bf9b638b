"""How much a score moves with its seed, and which programs do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from daemon.decide import Noise, estimate, ignores_seed
from daemon.decide.noise import UNEVEN_LEVEL, bartlett

GROUPS = st.lists(st.lists(st.floats(-10, 10), max_size=6), max_size=5)


def test_sigma_of_one_group_is_its_standard_deviation() -> None:
    noise = estimate([[1.0, 1.2, 1.1, 0.9, 1.3]])
    assert noise is not None
    assert noise.sigma_bpb == pytest.approx(np.std([1.0, 1.2, 1.1, 0.9, 1.3], ddof=1))
    assert (noise.runs, noise.groups, noise.degrees_of_freedom) == (5, 1, 4)


def test_groups_are_pooled_about_their_own_means() -> None:
    noise = estimate([[1.0, 1.2], [5.0, 5.2, 5.4], [7.0]])
    assert noise is not None
    assert noise.sigma_bpb == pytest.approx(math.sqrt((0.02 + 0.08) / 3))
    assert (noise.runs, noise.degrees_of_freedom) == (5, 3)


def test_the_interval_is_as_tables_have_it() -> None:
    """Factors for 4 degrees of freedom: 0.599 and 2.874."""
    low, high = Noise(sigma_bpb=1.0, runs=5).interval
    assert (low, high) == (pytest.approx(0.5991, abs=1e-4), pytest.approx(2.8736, abs=1e-4))
    assert Noise(sigma_bpb=1.0, runs=1).interval == (0.0, math.inf)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    scores = np.random.default_rng(1).normal(0, 0.002, (2000, 3, 3))
    intervals = [found.interval for groups in scores if (found := estimate(groups.tolist()))]
    held = sum(low <= 0.002 <= high for low, high in intervals) / len(intervals)
    assert held == pytest.approx(0.95, abs=0.015)


def test_bartlett_agrees_with_the_reference() -> None:
    groups = [[1.0, 1.3, 0.8, 1.9], [2.0, 2.1, 2.05], [0.1, 0.9, 0.4, 0.35, 0.7]]
    assert bartlett(groups) == pytest.approx(stats.bartlett(*groups).pvalue)
    assert bartlett([[1.0, 1.1]]) is None
    assert bartlett([[1.0, 1.1], [2.0, 2.0]]) is None


def test_an_uneven_arena_is_flagged_and_an_even_one_hardly_ever() -> None:
    random = np.random.default_rng(2)
    found = estimate([random.normal(0, 1, 5).tolist(), random.normal(0, 40, 5).tolist()])
    assert found is not None
    assert found.heteroscedastic
    assert found.test.startswith("Bartlett's test, p = ")
    even = [estimate(random.normal(0, 1, (4, 4)).tolist()) for _ in range(2000)]
    assert sum(noise is not None and noise.heteroscedastic for noise in even) <= 2000 * UNEVEN_LEVEL * 4


@pytest.mark.parametrize("groups", [[], [[]], [[1.0]], [[1.0], [2.0]], [[math.nan, 1.0]], [[math.inf, 1.0]]])
def test_where_nothing_is_told_there_is_no_estimate(groups: list[list[float]]) -> None:
    assert estimate(groups) is None


def test_a_program_without_noise() -> None:
    """All identical: σ is 0. Some identical: those ignore their seed and say nothing of the others."""
    still = estimate([[1.0, 1.0, 1.0], [2.0, 2.0]])
    assert still == Noise(sigma_bpb=0.0, runs=5, groups=2)
    assert still.interval == (0.0, 0.0)
    assert estimate([[1.0, 1.2, 1.1], [2.0, 2.0, 2.0]]) == estimate([[1.0, 1.2, 1.1]])


def test_a_program_that_ignores_its_seed_is_noticed() -> None:
    assert ignores_seed([1.5, 1.5], [1.4, 1.6])
    assert not ignores_seed([1.5, 1.5], [1.4, 1.4])  # nothing depends on the seed here
    assert not ignores_seed([1.5, math.nextafter(1.5, 2)], [1.4, 1.6])
    assert not ignores_seed([1.5], [1.4, 1.6])


@given(GROUPS)
def test_an_estimate_is_finite_and_inside_its_interval(groups: list[list[float]]) -> None:
    noise = estimate(groups)
    if noise is not None:
        low, high = noise.interval
        assert 0 <= low <= noise.sigma_bpb <= high
        assert math.isfinite(noise.sigma_bpb)
        assert noise.degrees_of_freedom >= 1
