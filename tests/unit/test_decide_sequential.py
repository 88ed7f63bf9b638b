"""The bounds of the sequential test: against published tables, and by what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from daemon.decide.sequential import _beyond, _carried, bound, bounds, rounded_down, student


def test_one_look_is_a_plain_test() -> None:
    assert bound(0.025, 1, 1, 1.0) == pytest.approx(1.959964, abs=1e-5)
    assert bound(0.025, 1, 1, 1.0, degrees_of_freedom=4) == pytest.approx(2.776445, abs=1e-5)


def test_two_looks_agree_with_the_bivariate_normal() -> None:
    """The second bound spends the rest: found here by another way, from the joint distribution of both looks."""
    first, second = bounds(0.05, 2, 1.0)
    joint = stats.multivariate_normal(cov=[[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    assert 1 - stats.norm.cdf(first) == pytest.approx(0.025, abs=1e-6)
    assert 1 - joint.cdf([first, second]) == pytest.approx(0.05, abs=2e-5)


@pytest.mark.parametrize("constants", [[2.413] * 5, [2.040 * math.sqrt(5 / look) for look in range(1, 6)]])
def test_the_recursion_agrees_with_published_constants(constants: list[float]) -> None:
    """Of Pocock (1977) and of O'Brien and Fleming (1979), five looks, 0.05 two-sided."""
    crossed, grid, density = 0.0, None, None
    for look, constant in enumerate(constants, 1):
        edge = constant * math.sqrt(look)
        crossed += _beyond(edge, grid, density)
        grid, density = _carried(edge, grid, density, look)
    assert crossed == pytest.approx(0.025, abs=1e-4)


@pytest.mark.parametrize("shape", [0.5, 1.0, 3.0])
def test_all_looks_together_spend_the_level(shape: float) -> None:
    assert _by_simulation(bounds(0.025, 5, shape)) == pytest.approx(0.025, abs=0.0015)


def _by_simulation(limits: tuple[float, ...]) -> float:
    steps = np.random.default_rng(3).standard_normal((200_000, len(limits)))
    looks = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, len(limits) + 1))
    return float((looks > np.array(limits)).any(axis=1).mean())


@pytest.mark.parametrize("level", [0.05, 0.005])
def test_the_error_holds_while_sigma_is_hardly_known(level: float) -> None:
    """Five baseline runs and the pairs themselves, no gain: with the normal bounds the error is twice what was said."""
    random, nights, looks = np.random.default_rng(4), 60_000, 6
    squares = random.chisquare(4, nights)
    runs = random.standard_normal((nights, 2, looks))
    crossed, naive = np.zeros(nights, bool), np.zeros(nights, bool)
    for look in range(1, looks + 1):
        seen = runs[:, :, :look]
        within = ((seen - seen.mean(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2))
        sigma = np.sqrt((squares + within) / (4 + 2 * (look - 1)))
        z = (seen[:, 0].mean(axis=1) - seen[:, 1].mean(axis=1)) / (sigma * math.sqrt(2 / look))
        crossed |= z > bound(level, looks, look, 1.0, 4 + 2 * (look - 1))
        naive |= z > bound(level, looks, look, 1.0)
    assert crossed.mean() <= level * 1.1
    assert naive.mean() > level * 1.5


def test_student_is_the_same_tail() -> None:
    assert student(1.959964, 4) == pytest.approx(2.776445, abs=1e-5)
    assert student(2.0, math.inf) == 2.0
    assert student(2.0, 0) == math.inf


@given(st.floats(1e-6, 0.4999))
def test_a_level_is_only_ever_rounded_down_and_little(level: float) -> None:
    assert 0.9 * level <= rounded_down(level) <= level * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.2, 0.05, 0.01, 0.001]), st.integers(1, 6), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_stricter_level_is_never_easier(level: float, looks: int, shape: float) -> None:
    for loose, strict in zip(bounds(level, looks, shape), bounds(level / 2, looks, shape), strict=True):
        assert strict > loose


@pytest.mark.parametrize(
    ("level", "looks", "look", "shape"),
    [(0, 1, 1, 1), (0.5, 1, 1, 1), (0.1, 2, 3, 1), (0.1, 1, 0, 1), (0.1, 1, 1, 0)],
)
def test_what_is_no_test_is_refused(level: float, looks: int, look: int, shape: float) -> None:
    with pytest.raises(ValueError, match="no bound"):
        bound(level, looks, look, shape)
