"""What a champion's score really is: without the luck that made it champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from daemon.decide.noise import Noise
from daemon.decide.sequential import student

Z_95 = 1.959964
MIN_TESTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A score (bits per byte) with its standard error and its 95 % interval, from so many runs of its own."""

    bpb: float
    error_bpb: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """True gains (bits per byte) of the candidates that reach their replicates: mean and standard deviation."""

    mean_bpb: float
    sigma_bpb: float


def spread(first_gains: Sequence[float], noise: Noise) -> Spread:
    """From the gain in the first pair of every test of this lab, kept or not: that number no luck has chosen.

    With fewer than ``MIN_TESTS`` of them nothing is known, and little is assumed: no gain, give or take 2 σ.
    """
    if len(first_gains) < MIN_TESTS:
        return Spread(mean_bpb=0.0, sigma_bpb=2 * noise.sigma_bpb)
    true_variance = variance(first_gains) - 2 * noise.sigma_bpb**2
    return Spread(mean_bpb=fmean(first_gains), sigma_bpb=math.sqrt(max(true_variance, (noise.sigma_bpb / 2) ** 2)))


def champion_estimate(lineage: Sequence[Sequence[float]], noise: Noise, gains: Spread) -> Estimate:
    """The score of the last of ``lineage``: the replicates of the baseline and of every champion after it, in order.

    Each champion is expected at its parent's estimate less the mean gain, give or take the spread, and its own runs
    pull it from there, the more the more there are. This is the empirical-Bayes shrinkage of Efron and Morris (1973);
    a posterior mean needs no further correction for having been selected (Efron 2011, "Tweedie's formula and selection
    bias"). Leave out first runs: they were picked for being low.

    Raises:
        ValueError: the baseline has no run.
    """
    if not lineage or not lineage[0]:
        raise ValueError("the baseline has no run to start from")
    bpb, error = fmean(lineage[0]), noise.sigma_bpb / math.sqrt(len(lineage[0]))
    for runs in lineage[1:]:
        expected, wide = bpb - gains.mean_bpb, error**2 + gains.sigma_bpb**2
        if not runs:
            bpb, error = expected, math.sqrt(wide)
            continue
        own = noise.sigma_bpb**2 / len(runs)
        weight = wide / (wide + own) if wide + own else 1.0
        bpb, error = expected + weight * (fmean(runs) - expected), math.sqrt(weight * own)
    wide = student(Z_95, noise.degrees_of_freedom) * error if error else 0.0
    return Estimate(bpb=bpb, error_bpb=error, low=bpb - wide, high=bpb + wide, runs=len(lineage[-1]))


def is_demoted(
    parent_runs: Sequence[float], later_runs: Sequence[float], noise: Noise, level: float, looks: int | None = None
) -> bool:
    """Whether a champion's runs since it was kept contradict the keep: with confidence it is worse than its parent.

    Ask whenever it has been run again: the error is spent over all looks, level/(n(n+1)) at the n-th, so a keep that
    is no worse than its parent is demoted with a probability of at most ``level``, however often one asks. ``looks`` is
    how often one has asked, this time included; the number of later runs where it is not given.
    """
    if not parent_runs or not later_runs:
        return False
    n = looks or len(later_runs)
    loss = fmean(later_runs) - fmean(parent_runs)
    error = noise.sigma_bpb * math.sqrt(1 / len(parent_runs) + 1 / len(later_runs))
    return loss > (_quantile(level / (n * (n + 1)), noise.degrees_of_freedom) * error if error else 0.0)


def too_good(gain_bpb: float, replicated_gains: Sequence[float], factor: float) -> bool:
    """Whether a gain is more than ``factor`` times the largest that replicates have ever shown in this lab.

    While none has, nothing is: there is nothing to compare with.
    """
    largest = max(replicated_gains, default=0.0)
    return largest > 0 and gain_bpb > factor * largest


def _quantile(level: float, degrees_of_freedom: int) -> float:
    from scipy.special import ndtri

    return student(-float(ndtri(level)), degrees_of_freedom)
