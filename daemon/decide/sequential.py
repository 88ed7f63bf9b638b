"""Group-sequential bounds: how far apart two programs must be after so many pairs, looking after every one of them.

The error is spent over the looks by the power family of Kim and DeMets (1987), a form of Lan and DeMets (1983): after
the share t of the pairs planned, level × t^shape may have been spent. The bounds follow by the recursion of Armitage,
McPherson and Rowe (1969); see Jennison and Turnbull, "Group Sequential Methods" (2000), chapters 7 and 19. Stopping
early for lack of hope is not binding: ignoring it does not raise the error. While σ has few degrees of freedom, each
bound is moved to the same tail probability of Student's t (Pocock 1977; Jennison and Turnbull, section 4.4).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

REACH = 9.0  # standard deviations: what lies beyond has a probability below 1e-18
POINTS = 401
MIN_LEVEL = 1e-6


def bound(level: float, looks: int, look: int, shape: float, degrees_of_freedom: float = math.inf) -> float:
    """By how many standard errors an estimate must exceed zero at ``look`` (from 1) of ``looks``.

    Over all looks, an estimate whose truth is zero or less does so with a probability of at most ``level``, one-sided.

    Raises:
        ValueError: there is no such look, level or shape.
    """
    if not (1 <= look <= looks and 0 < level < 0.5 and shape > 0):
        raise ValueError(f"no bound at look {look} of {looks} for a level of {level} and a shape of {shape}")
    return student(bounds(rounded_down(level), looks, shape)[look - 1], degrees_of_freedom)


def student(z: float, degrees_of_freedom: float) -> float:
    """The quantile of Student's t with the upper tail that ``z`` has in the normal distribution."""
    if math.isinf(degrees_of_freedom):
        return z
    if degrees_of_freedom < 1:
        return math.inf
    from scipy.special import ndtr, stdtrit

    return -float(stdtrit(degrees_of_freedom, ndtr(-z)))


def rounded_down(level: float) -> float:
    """To two significant digits, so that bounds can be remembered; an error spent less is an error not made."""
    digit = 10.0 ** (math.floor(math.log10(level)) - 1)
    return max(MIN_LEVEL, math.floor(level / digit * (1 + 1e-12)) * digit)


@lru_cache(maxsize=4096)
def bounds(level: float, looks: int, shape: float) -> tuple[float, ...]:
    """The normal bounds of all looks, for a known σ."""
    found: list[float] = []
    spent, grid, density = 0.0, None, None
    for look in range(1, looks + 1):
        now = level * (look / looks) ** shape
        edge = _edge(now - spent, grid, density, look)
        grid, density = _carried(edge, grid, density, look)
        found.append(edge / math.sqrt(look))
        spent = now
    return tuple(found)


def _edge(share: float, grid: Numbers | None, density: Numbers | None, look: int) -> float:
    """Where the sum of ``look`` standard steps, not stopped before, is exceeded with the probability ``share``."""
    low, high = -REACH, REACH * math.sqrt(look)
    for _ in range(60):
        middle = (low + high) / 2
        if _beyond(middle, grid, density) > share:
            low = middle
        else:
            high = middle
    return high


def _beyond(edge: float, grid: Numbers | None, density: Numbers | None) -> float:
    import numpy as np
    from scipy.special import ndtr

    if grid is None or density is None:
        return float(ndtr(-edge))
    return float(np.trapezoid(density * ndtr(grid - edge), grid))


def _carried(edge: float, grid: Numbers | None, density: Numbers | None, look: int) -> tuple[Numbers, Numbers]:
    """The density of sums that go on after this look."""
    import numpy as np

    here = np.linspace(-REACH * math.sqrt(look), edge, POINTS)
    if grid is None or density is None:
        return here, _normal(here)
    steps = _normal(here[:, None] - grid[None, :])
    return here, np.asarray(np.trapezoid(steps * density[None, :], grid, axis=1))


def _normal(x: Numbers) -> Numbers:
    import numpy as np

    return np.asarray(np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
