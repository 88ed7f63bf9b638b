"""Many looks over a night: which error level the next test may spend, so that few keeps are false.

LORD++ of Ramdas, Yang, Wainwright and Jordan (2017), "Online control of the false discovery rate with decaying memory",
after Javanmard and Montanari (2018). A test may spend a part of the stake that the lab begins with, and a part of what
every keep so far has earned. A lab whose ideas change nothing therefore makes a false keep with a probability of at
most ``stake``, however many nights it runs, and one that finds something may look closer. In expectation at most the
share ``alpha`` of all keeps is false, and it comes near that only where ideas are exactly as good as the champion; most
are worse. bench/decisions.py says by how much it stays below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTest:
    """A test that was made: the level it could spend, and whether it ended in a keep."""

    level: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """LORD++. Of a stake or of earnings, the n-th test after them uses a part that falls as n to the -``decay``."""

    alpha: float = 0.2
    stake: float = 0.05
    decay: float = 1.6

    def __post_init__(self) -> None:
        if not (0 < self.stake <= self.alpha < 1 and 1 < self.decay < math.inf):
            raise ValueError(f"0 < stake <= alpha < 1 < decay must hold, but they are {self}")

    def level(self, history: Sequence[PastTest]) -> float:
        """The level of the next test, from all the tests before it, in order."""
        now = len(history) + 1
        kept = [number for number, test in enumerate(history, 1) if test.kept]
        level = share(now, self.decay) * self.stake
        for position, when in enumerate(kept):
            earned = self.alpha - self.stake if position == 0 else self.alpha
            level += share(now - when, self.decay) * earned
        return level

    def expected_false_keeps(self, history: Sequence[PastTest]) -> float:
        """An upper bound, whatever the truth: as if no candidate ever tested had been better."""
        return math.fsum(test.level for test in history)


def share(age: int, decay: float) -> float:
    """What is used of some earnings in the ``age``-th test after them (from 1); all ages together make 1."""
    return math.pow(age, -decay) / _total(decay)


@lru_cache
def _total(decay: float) -> float:
    from scipy.special import zeta

    return float(zeta(decay, 1))
