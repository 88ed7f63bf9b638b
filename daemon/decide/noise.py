"""How much a score moves when nothing but the seed does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# A lab looks at this test hundreds of times; one false alarm in a thousand is rare enough to be read.
UNEVEN_LEVEL = 0.001
MIN_RUNS_TO_COMPARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviation of the score (bits per byte) of one run over seeds, and how well it is known.

    Pooled within ``groups`` of runs of one program each: ``runs - groups`` degrees of freedom. ``heteroscedastic`` says
    that the groups do not share one σ, by the test that ``test`` names.
    """

    sigma_bpb: float
    runs: int
    groups: int = 1
    heteroscedastic: bool = False
    test: str = ""

    @property
    def degrees_of_freedom(self) -> int:
        return self.runs - self.groups

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of σ, from the chi-squared distribution; (0, inf) without a degree of freedom."""
        if self.degrees_of_freedom < 1:
            return 0.0, math.inf
        from scipy.special import chdtri

        df = self.degrees_of_freedom
        low, high = (self.sigma_bpb * math.sqrt(df / float(chdtri(df, tail))) for tail in (0.025, 0.975))
        return low, high


def estimate(groups: Sequence[Sequence[float]]) -> Noise | None:
    """The noise of one run from groups of scores (bits per byte), each of one program on different seeds.

    A group tells nothing of σ unless it has two finite scores. Groups of identical scores are left out where others
    differ: that program ignores its seed, and would make the lab look quieter than it is. None if nothing remains.
    """
    finite = [[score for score in group if math.isfinite(score)] for group in groups]
    told = [group for group in finite if len(group) >= 2]
    varied = [group for group in told if len(set(group)) > 1]
    told = varied or told
    if not told:
        return None
    runs = sum(map(len, told))
    sigma = math.sqrt(sum(map(_squares, told)) / (runs - len(told)))
    p = bartlett([group for group in varied if len(group) >= MIN_RUNS_TO_COMPARE])
    test = "" if p is None else f"Bartlett's test, p = {p:.2g}"
    uneven = p is not None and p < UNEVEN_LEVEL
    return Noise(sigma_bpb=sigma, runs=runs, groups=len(told), heteroscedastic=uneven, test=test)


def bartlett(groups: Sequence[Sequence[float]]) -> float | None:
    """The probability of spreads at least so unequal if all groups share one σ; None with fewer than two groups.

    Bartlett (1937), "Properties of sufficiency and statistical tests", with his correction for small groups. Scores of
    one program over seeds are close to normal, for which it is the stronger test; it is looked up in the chi-squared
    distribution with one degree of freedom less than there are groups.
    """
    degrees = [len(group) - 1 for group in groups]
    squares = [_squares(group) for group in groups]
    if len(groups) < 2 or min(degrees) < 1 or min(squares) <= 0:
        return None
    from scipy.special import chdtrc

    pooled = sum(degrees) * math.log(sum(squares) / sum(degrees))
    apart = sum(df * math.log(square / df) for df, square in zip(degrees, squares, strict=True))
    correction = 1 + (sum(1 / df for df in degrees) - 1 / sum(degrees)) / (3 * (len(groups) - 1))
    return float(chdtrc(len(groups) - 1, max(0.0, pooled - apart) / correction))


def ignores_seed(runs: Sequence[float], baseline: Sequence[float]) -> bool:
    """Whether a program's scores on different seeds are identical to the bit where the baseline's differ."""
    return len(runs) >= 2 and len(set(runs)) == 1 and len(set(baseline)) > 1


def _squares(group: Sequence[float]) -> float:
    mean = fmean(group)
    return math.fsum((score - mean) ** 2 for score in group)
