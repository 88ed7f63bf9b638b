"""Many looks over a night: which error level the next test may spend, so that few keeps are false.

LORD++ of Ramdas, Yang, Wainwright and Jordan (2017), "Online control of the false discovery rate with decaying memory",
after Javanmard and Montanari (2018): a test may spend a little of what the lab began with, and a little of what every
keep so far has earned. In expectation at most the share ``alpha`` of all keeps is false, for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A test that was made: the level it could spend, and whether it ended in a keep."""

    level: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """LORD++. ``alpha`` is the share of keeps that may be false; ``decay`` how fast old earnings are used up."""

    alpha: float
    decay: float = 1.6

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 1 and self.decay > 1):
            raise ValueError(f"alpha is {self.alpha}, decay {self.decay}, but 0 < alpha < 1 and 1 < decay must hold")

    def level(self, history: Sequence[Tested]) -> float:
        """The level of the next test, from all the tests before it, in order."""
        now = len(history) + 1
        kept = [number for number, test in enumerate(history, 1) if test.kept]
        begun = self.alpha / 2
        level = share(now, self.decay) * begun
        for position, when in enumerate(kept):
            earned = self.alpha - begun if position == 0 else self.alpha
            level += share(now - when, self.decay) * earned
        return level

    def expected_false_keeps(self, history: Sequence[Tested]) -> float:
        """An upper bound, whatever the truth: as if no candidate ever tested had been better."""
        return math.fsum(test.level for test in history)


def share(age: int, decay: float) -> float:
    """What is used of some earnings in the ``age``-th test after them (from 1); all ages together make 1."""
    return math.pow(age, -decay) / _total(decay)


@lru_cache
def _total(decay: float) -> float:
    from scipy.special import zeta

    return float(zeta(decay, 1))
