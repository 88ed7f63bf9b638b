"""What the audit can and cannot see, in numbers that stand beside every score.

A cheat that gains at a fraction f of all positions meets a cut there with probability f, each time anew: rows and
positions are drawn evenly and after the graph was fixed. It passes when no more cuts hit it than may move by chance.
(Cuts of one row never fall on the same position twice; that can only lower the probability stated here.)
"""

import math

from .audit import Tolerance, allowed_moves

# The fraction that the sentence speaks of, and the chance of escape that counts as caught.
FRACTION = 0.01
CAUGHT = 0.05


def escape(cuts: int, allowed: int, fraction: float) -> float:
    """Probability that at most `allowed` of `cuts` fall on a cheat at `fraction` of the positions: a binomial tail."""
    if fraction >= 1:
        return 1.0 if allowed >= cuts else 0.0
    if fraction <= 0:
        return 1.0
    logs = [
        math.lgamma(cuts + 1) - math.lgamma(k + 1) - math.lgamma(cuts - k + 1)
        + k * math.log(fraction) + (cuts - k) * math.log1p(-fraction)
        for k in range(min(allowed, cuts) + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def caught_fraction(cuts: int, allowed: int) -> float:
    """Return the smallest fraction whose cheat escapes with a probability of at most `CAUGHT` (1.0: none)."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if escape(cuts, allowed, middle) <= CAUGHT else (middle, high)
    return high


def sentence(cuts: int, tolerance: Tolerance, fraction: float = FRACTION) -> str:
    """Say how likely a cheat on `fraction` of the positions is to pass."""
    chance = escape(cuts, allowed_moves(cuts, tolerance), fraction)
    return f"a cheat on {100 * fraction:g} % of positions escapes {cuts} cuts with probability {chance:.2g}"


def statement(cuts: int, tolerance: Tolerance) -> dict[str, float | int | str]:
    """Return the sentence and its numbers: what is allowed to move, what escapes, what is caught."""
    allowed = allowed_moves(cuts, tolerance)
    return {
        "allowed": allowed,
        "fraction": FRACTION,
        "escape_probability": escape(cuts, allowed, FRACTION),
        "caught_fraction": caught_fraction(cuts, allowed),
        "power": sentence(cuts, tolerance),
    }
