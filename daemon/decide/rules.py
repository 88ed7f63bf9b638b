"""Rules: how sure one must be. Pure; with the same noise a better score is never judged worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from daemon.decide.answers import Answer, Discard, Keep, Replicate
from daemon.decide.noise import Noise, estimate
from daemon.decide.sequential import bound

MIN_SAVED_NODES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """``bpb`` is the audited score (bits per byte) of the first run, ``runs`` how many there are by now.

    ``saved_nodes`` is by how many nodes its syntax tree is smaller than the champion's.
    """

    bpb: float
    runs: int = 1
    saved_nodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Audited scores (bits per byte) of champion and candidate on one common seed, not that of the first runs.

    The champion's run may have served an earlier test already: running it anew costs more than its shared luck does.
    """

    champion_bpb: float
    candidate_bpb: float

    @property
    def gain(self) -> float:
        return self.champion_bpb - self.candidate_bpb


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a rule judges.

    ``champion_bpb`` is the champion's estimate, from its replicates. ``noise`` is pooled over every group of runs there
    is, this test's own among them. ``level`` is the error this test may spend, one-sided; it, and the rule, must not
    change while a test is under way. ``affordable_pairs`` is what the budget for replicates has left.
    ``best_bpb`` is the best estimate since the baseline, which a simpler program may not fall behind; None for the
    champion's own.
    """

    champion_bpb: float
    candidate: Candidate
    pairs: Sequence[Pair] = ()
    noise: Noise | None = None
    level: float = 0.05
    affordable_pairs: int = 1_000_000
    best_bpb: float | None = None

    @property
    def first_gain(self) -> float:
        """Of the first run over the champion's estimate, bits per byte."""
        return self.champion_bpb - self.candidate.bpb

    @property
    def gain(self) -> float:
        """The mean over the pairs, bits per byte; NaN before the first."""
        return fmean(pair.gain for pair in self.pairs) if self.pairs else math.nan

    @property
    def known_noise(self) -> Noise | None:
        """What is known of σ: as given, or from the pairs alone."""
        if self.noise is not None and self.noise.degrees_of_freedom >= 1:
            return self.noise
        return estimate([[p.champion_bpb for p in self.pairs], [p.candidate_bpb for p in self.pairs]])

    @property
    def standard_error(self) -> float:
        """Of ``gain``, bits per byte: as if a common seed brought nothing, which is never too small a number."""
        noise = self.known_noise
        return noise.sigma_bpb * math.sqrt(2 / len(self.pairs)) if noise and self.pairs else math.inf


class Rule(Protocol):
    """How sure one must be. Pure; a better score must never be judged worse."""

    def judge(self, standing: Standing) -> Answer: ...

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
        """The highest first score (bits per byte) that may yet be kept: what is at or below it deserves a second audit.

        Later runs of a candidate that came this far deserve it whatever they score.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The original rule: keep what is better by more than ``min_gain_bpb``. An equal score is discarded."""

    min_gain_bpb: float

    def __post_init__(self) -> None:
        _at_least_zero("min_gain_bpb", self.min_gain_bpb)

    def judge(self, standing: Standing) -> Answer:
        champion, bpb, gain = standing.champion_bpb, standing.candidate.bpb, standing.first_gain
        if bpb < champion - self.min_gain_bpb:
            return Keep(reason=f"better by {gain:.6f} bits per byte ({champion:.6f} → {bpb:.6f})")
        if gain > 0:
            return Discard(reason=f"better by only {gain:.6f} bits per byte; {self.min_gain_bpb:g} count as a gain")
        return Discard(reason=f"worse by {-gain:.6f} bits per byte" if gain < 0 else "no better than the champion")

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:  # noqa: ARG002
        return champion_bpb


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """The default: a promising first run is only a reason to measure; what is kept was better on fresh seeds.

    A first run is promising when it beats the champion's estimate by ``band_sigmas`` σ and by ``min_gain_bpb``, however
    much it beats it by. Pairs follow, one at a time and ``max_pairs`` at most. After each the test may end: in a keep,
    when the lower bound of the gain (a repeated confidence interval, Jennison and Turnbull 1989) clears zero and the
    mean the minimum; in a discard, when no pair is left or the mean is hopeless: not above zero after the first pair,
    and by ``hopeless`` standard errors more after every further one. ``shape`` says how the error is spent over the
    looks: 1 evenly, more for later. A new champion is run until it has ``settle_runs`` replicates, so that what is
    claimed of it does not rest on the runs that made it champion. The defaults were chosen by bench/decisions.py.
    """

    min_gain_bpb: float = 0.0
    band_sigmas: float = 1.25
    max_pairs: int = 6
    shape: float = 1.0
    hopeless: float = 0.25
    settle_runs: int = 3

    def __post_init__(self) -> None:
        _at_least_zero("min_gain_bpb", self.min_gain_bpb)
        if (
            min(self.max_pairs, self.settle_runs) < 1
            or not self.shape > 0
            or not math.isfinite(self.band_sigmas + self.hopeless)
        ):
            raise ValueError(f"no test can be made with {self}")

    def judge(self, standing: Standing) -> Answer:
        if not standing.pairs:
            reach = self.reach(standing.champion_bpb, standing.noise)
            return self.screened(standing, min(reach, math.nextafter(standing.champion_bpb, -math.inf)))
        return self.tested(standing, 0.0, self.min_gain_bpb)

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
        return champion_bpb - max(self.min_gain_bpb, self.band_sigmas * _sigma(noise))

    def screened(self, standing: Standing, reach: float) -> Answer:
        """By the first run alone: nothing is kept for it, however good it is."""
        found = f"its first run was {_compared(standing.first_gain)}"
        if not standing.candidate.bpb <= reach:
            return Discard(reason=f"{found}, which promises too little")
        if standing.affordable_pairs < 1:
            return Discard(reason=f"{found}, but the budget for replicates is spent")
        return Replicate(pairs=1, reason=f"{found}; replicates will tell")

    def tested(self, standing: Standing, zero_bpb: float, minimum_bpb: float) -> Answer:
        """By the pairs: is the gain more than ``zero_bpb``, with confidence, and its mean at least ``minimum_bpb``?"""
        look, gain, error = len(standing.pairs), standing.gain, standing.standard_error
        found = f"over {look} fresh {'pair' if look == 1 else 'pairs'} it was {_compared(gain)}"
        noise = standing.known_noise
        if not math.isfinite(gain):
            return Discard(reason="a replicate has no finite score")
        if noise is not None:
            low = gain - self._bound(standing.level, look, noise) * error if error else gain
            if low > zero_bpb and gain >= minimum_bpb:
                return Keep(reason=f"{found}, at least by {low:.6f} with an error of {standing.level:.2g}")
            if gain - zero_bpb <= self.hopeless * (look - 1) * error:
                return Discard(reason=f"{found}, which leaves no hope")
        if look >= self.max_pairs:
            return Discard(reason=f"{found}, which is not sure enough after the last pair")
        if standing.affordable_pairs < 1:
            return Discard(reason=f"{found}, which is not sure enough, and the budget for replicates is spent")
        return Replicate(pairs=1, reason=f"{found}, which is not sure enough yet")

    def _bound(self, level: float, look: int, noise: Noise) -> float:
        look = min(look, self.max_pairs)
        return bound(level, self.max_pairs, look, self.shape, noise.degrees_of_freedom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simpler:
    """Another rule, and beside it: an equal score with less program is a keep.

    Less is ``MIN_SAVED_NODES`` nodes of the syntax tree, about a plain line. Equal is no worse than ``equal_bpb``, or
    than ``equal_sigmas`` σ where that is more. With a ``test`` this is shown by replicates: the lower bound of the gain
    must clear minus that margin. Without one the first run is taken at its word. The score to beat stays the best since
    the baseline, so a row of such keeps cannot walk away from it.
    """

    rule: Rule
    equal_bpb: float
    test: Replicated | None = None
    equal_sigmas: float = 0.0

    def __post_init__(self) -> None:
        _at_least_zero("equal_bpb", self.equal_bpb)
        _at_least_zero("equal_sigmas", self.equal_sigmas)

    def judge(self, standing: Standing) -> Answer:
        answer = self.rule.judge(standing)
        if standing.candidate.saved_nodes < MIN_SAVED_NODES or isinstance(answer, Keep):
            return answer
        beside = self._beside(standing)
        if isinstance(beside, Keep):
            return Keep(
                reason=f"simpler by {standing.candidate.saved_nodes} syntax nodes at an equal score ({beside.reason})"
            )
        return beside if isinstance(answer, Discard) and isinstance(beside, Replicate) else answer

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
        return max(self.rule.reach(champion_bpb, noise), champion_bpb + self._margin(noise))

    def _margin(self, noise: Noise | None) -> float:
        return max(self.equal_bpb, self.equal_sigmas * _sigma(noise))

    def _beside(self, standing: Standing) -> Answer:
        best = standing.champion_bpb if standing.best_bpb is None else standing.best_bpb
        margin = self._margin(standing.known_noise)
        if self.test is None:
            if standing.candidate.bpb > best + margin:
                return Discard(reason="not equal")
            return Keep(reason=f"{best:.6f} → {standing.candidate.bpb:.6f}; up to {margin:g} is equal")
        if not standing.pairs:
            return self.test.screened(standing, min(standing.champion_bpb, best) + margin)
        if fmean(pair.candidate_bpb for pair in standing.pairs) > best + margin:
            return Discard(reason="not equal")
        return self.test.tested(standing, -margin, -margin)


def _sigma(noise: Noise | None) -> float:
    """Of one run, bits per byte; 0 while nobody knows."""
    return noise.sigma_bpb if noise is not None and noise.degrees_of_freedom >= 1 else 0.0


def _compared(gain: float) -> str:
    if gain == 0:
        return "no better"
    return f"better by {gain:.6f} bits per byte" if gain > 0 else f"worse by {-gain:.6f} bits per byte"


def _at_least_zero(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}, but must be 0 or more")
