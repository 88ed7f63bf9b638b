"""What a champion's score really is: without the luck that made it champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from daemon.decide.noise import Noise
from daemon.decide.sequential import student

Z_95 = 1.959964
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of gains, in σ
ROUNDS = 8
BEFORE = tuple(2 / scale for scale in SCALES)


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
    """How true gains spread: a mixture of normals around no gain, of these standard deviations (bits per byte)."""

    scales_bpb: tuple[float, ...]
    weights: tuple[float, ...]


def spread(first_gains: Sequence[float], noise: Noise) -> Spread:
    """From the gain in the first pair of every test of this lab, kept or not: that number no test has chosen.

    The prior of Stephens (2017), "False discovery rates: a new deal": small gains are common and large ones rare, how
    rare the lab itself tells (empirical Bayes, by expectation maximisation). Before it does, all scales count the same.
    """
    scales = [scale * noise.sigma_bpb for scale in SCALES]
    widths = [math.hypot(scale, math.sqrt(2) * noise.sigma_bpb) for scale in scales]
    weights = [count / sum(BEFORE) for count in BEFORE]
    for _ in range(ROUNDS if noise.sigma_bpb > 0 else 0):
        counts = list(BEFORE)
        for gain in first_gains:
            for at, part in enumerate(_parts(gain, widths, weights)):
                counts[at] += part
        weights = [count / sum(counts) for count in counts]
    return Spread(scales_bpb=tuple(scales), weights=tuple(weights))


def champion_estimate(lineage: Sequence[Sequence[float]], noise: Noise, gains: Spread) -> Estimate:
    """The score of the last of ``lineage``: the replicates of the baseline and of every champion after it, in order.

    Each champion is expected where its parent is, give or take the spread of gains, and its own runs pull it from
    there: the more, the more there are, and the farther, the less doubtful so large a gain is. A posterior mean needs
    no further correction for having been selected (Efron 2011, "Tweedie's formula and selection bias"). Leave out first
    runs: they were picked for being low.

    Raises:
        ValueError: the baseline has no run.
    """
    if not lineage or not lineage[0]:
        raise ValueError("the baseline has no run to start from")
    bpb, error = fmean(lineage[0]), noise.sigma_bpb / math.sqrt(len(lineage[0]))
    for runs in lineage[1:]:
        bpb, error = _after(bpb, error, runs, noise.sigma_bpb, gains)
    wide = student(Z_95, noise.degrees_of_freedom) * error if error else 0.0
    return Estimate(bpb=bpb, error_bpb=error, low=bpb - wide, high=bpb + wide, runs=len(lineage[-1]))


def _after(bpb: float, error: float, runs: Sequence[float], sigma: float, gains: Spread) -> tuple[float, float]:
    """A champion's estimate and its standard error, from its parent's and its own runs."""
    if not runs or sigma == 0:
        return (fmean(runs), 0.0) if runs else (bpb, error)
    own = sigma**2 / len(runs)
    found = fmean(runs) - bpb
    before = [scale**2 + error**2 for scale in gains.scales_bpb]
    parts = _parts(found, [math.sqrt(wide + own) for wide in before], gains.weights)
    shares = [wide / (wide + own) for wide in before]
    mean = math.fsum(part * share * found for part, share in zip(parts, shares, strict=True))
    second = math.fsum(p * (s * own + (s * found - mean) ** 2) for p, s in zip(parts, shares, strict=True))
    return bpb + mean, math.sqrt(second)


def _parts(value: float, widths: Sequence[float], weights: Sequence[float]) -> list[float]:
    """How likely a value comes from each normal of a mixture around zero."""
    logs = [
        math.log(weight) - math.log(width) - (value / width) ** 2 / 2
        for width, weight in zip(widths, weights, strict=True)
    ]
    most = max(logs)
    each = [math.exp(log - most) for log in logs]
    return [one / sum(each) for one in each]


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
