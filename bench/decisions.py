"""Rules of decision on made-up nights: what they keep, what of it is true, and what it costs.

    .venv/bin/python bench/decisions.py [--nights 400] [--out build/decisions]

A night has the time of 100 experiments and a baseline. Every run is charged: replicates of candidates, of champions and
of the baseline leave less for proposals. All rules see the same ideas, in the same order, with the same luck: the r-th
run of an idea scores the same under each of them.

The ideas follow the published logs of such nights (0.9979 → 0.9697 in 125 experiments, the largest gains 0.0119,
0.0043, 0.0033 and 0.0012; 12 of 22 keeps below 0.0005; a fifth to a tenth kept): most hurt, some change nothing, few
help, and what helps helps less the further the champion has come.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from common import machine

from daemon.decide import (
    Candidate,
    Control,
    Discard,
    Greedy,
    Keep,
    Noise,
    Pair,
    PastTest,
    Replicate,
    Replicated,
    Rule,
    Standing,
    affordable_pairs,
    champion_estimate,
    spread,
)

SIGMAS = (0.0003, 0.0007, 0.001, 0.002)
EXPERIMENTS = 100
BASELINE_RUNS = 5
RUNS = 260  # of one idea at most
ROOM_BPB = 0.025  # so far down, what helps is worth 1/e of what it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Ideas:
    """One night's: the gain of each (bits per byte) while nothing is found yet, and the luck of each of its runs."""

    gains: np.ndarray
    luck: np.ndarray

    def gain(self, idea: int, found: float) -> float:
        gain = float(self.gains[idea])
        return gain * math.exp(-found / ROOM_BPB) if gain > 0 else gain


def ideas(night: int, help_share: float = 0.14) -> Ideas:
    random = np.random.default_rng([12, night])
    kind = random.random(EXPERIMENTS + 1)
    good = np.exp(random.uniform(math.log(0.0005), math.log(0.01), EXPERIMENTS + 1))
    bad = -random.lognormal(math.log(0.003), 1.0, EXPERIMENTS + 1)
    nothing = random.normal(-0.0001, 0.0002, EXPERIMENTS + 1)
    gains = np.where(kind < help_share, good, np.where(kind < help_share + 0.36, nothing, bad))
    gains[0] = 0.0
    return Ideas(gains=gains, luck=random.standard_normal((EXPERIMENTS + 1, RUNS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A rule with all that belongs to it.

    ``reuse`` says which of a champion's runs later candidates are compared with: "since kept", as the daemon does;
    "all", those that it was kept for among them; or "none".
    """

    name: str
    rule: Rule
    control: Control | float = field(default_factory=Control)
    settle_runs: int = 3
    baseline_runs: int = BASELINE_RUNS
    reuse: Literal["since kept", "all", "none"] = "since kept"
    share: float = 0.5


@dataclass(slots=True)
class Program:
    """A train.py that was run: its true score, and its runs in order, the first of them its first run.

    ``chosen`` are how many of its replicates it was kept for.
    """

    idea: int
    true_bpb: float
    ideas: Ideas
    sigma: float
    parent: Program | None = None
    fresh: list[float] = field(default_factory=list)
    runs: int = 0
    chosen: int = 0

    def run(self) -> float:
        score = self.true_bpb + self.sigma * float(self.ideas.luck[self.idea, self.runs])
        self.runs += 1
        return score

    def replicate(self, at: int) -> tuple[float, int]:
        """The score on a fresh seed, and how many runs that cost."""
        if at < len(self.fresh):
            return self.fresh[at], 0
        self.fresh.append(self.run())
        return self.fresh[-1], 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What came of it; bits per byte."""

    gain: float
    claimed: float
    keeps: int
    false_keeps: int
    missed: int
    missed_gain: float
    proposals: int
    replicates: int
    tests: int
    expected_false: float


class Lab:
    """One night under one policy."""

    def __init__(self, policy: Policy, night: Ideas, sigma: float) -> None:
        self.policy, self.night, self.sigma = policy, night, sigma
        self.left = EXPERIMENTS + 1
        self.groups: list[list[float]] = []
        self.squares, self.degrees, self.counted = 0.0, 0, 0
        self.history: list[PastTest] = []
        self.first_gains: list[float] = []
        self.replicates = self.proposals = self.keeps = self.false = self.missed = 0
        self.missed_gain = 0.0
        self.champion = Program(0, 0.0, night, sigma)
        for _ in range(policy.baseline_runs):
            self.champion.fresh.append(self.champion.run())
        self.left -= policy.baseline_runs
        self.replicates += policy.baseline_runs - 1
        self.score = self.champion.fresh[0]
        if policy.baseline_runs > 1:
            self.estimated()

    def noise(self, *groups: Sequence[float]) -> Noise:
        """As `estimate` would say; the closed groups are remembered as sums."""
        squares, runs, count = self.squares, self.degrees + self.counted, self.counted
        for group in groups:
            if len(group) > 1:
                mean = sum(group) / len(group)
                squares += sum((x - mean) ** 2 for x in group)
                runs, count = runs + len(group), count + 1
        return Noise(sigma_bpb=math.sqrt(squares / (runs - count)), runs=runs, groups=count)

    def close(self, group: Sequence[float]) -> None:
        if len(group) > 1:
            mean = sum(group) / len(group)
            self.squares += sum((x - mean) ** 2 for x in group)
            self.degrees += len(group) - 1
            self.counted += 1

    def estimated(self) -> None:
        lineage, program = [], self.champion
        while program is not None:
            lineage.insert(0, program.fresh)
            program = program.parent
        noise = self.noise(self.champion.fresh)
        self.score = champion_estimate(lineage, noise, spread(self.first_gains, noise)).bpb

    def run(self, experiments: int = EXPERIMENTS) -> Night:
        for idea in range(1, experiments + 1):
            if self.left < 1:
                break
            self.propose(idea)
        return Night(
            gain=-self.champion.true_bpb, claimed=self.score - self.champion.true_bpb, keeps=self.keeps,
            false_keeps=self.false, missed=self.missed, missed_gain=self.missed_gain, proposals=self.proposals,
            replicates=self.replicates, tests=len(self.history),
            expected_false=sum(t.level for t in self.history),
        )  # fmt: skip

    def propose(self, idea: int) -> None:
        gain = self.night.gain(idea, -self.champion.true_bpb)
        candidate = Program(idea, self.champion.true_bpb - gain, self.night, self.sigma, self.champion)
        first = candidate.run()
        self.left, self.proposals = self.left - 1, self.proposals + 1
        control = self.policy.control
        level = control if isinstance(control, float) else control.level(self.history)
        pairs: list[Pair] = []
        answer = self.ask(first, pairs, candidate, level)
        while isinstance(answer, Replicate):
            for _ in range(answer.pairs):
                pairs.append(self.pair(candidate, len(pairs)))
            answer = self.ask(first, pairs, candidate, level)
        kept = isinstance(answer, Keep)
        if pairs:
            self.first_gains.append(pairs[0].gain)
            self.history.append(PastTest(level=level, kept=kept))
        if kept:
            self.keeps, self.false = self.keeps + 1, self.false + (gain <= 0)
            self.close(self.champion.fresh)
            self.champion, self.score, candidate.chosen = candidate, first, len(pairs)
            while len(candidate.fresh) < self.policy.settle_runs and self.left > 0:
                candidate.fresh.append(candidate.run())
                self.left, self.replicates = self.left - 1, self.replicates + 1
        else:
            self.close(candidate.fresh)
            if gain > 0:
                self.missed, self.missed_gain = self.missed + 1, self.missed_gain + gain
        if pairs:
            self.estimated()

    def ask(self, first: float, pairs: Sequence[Pair], candidate: Program, level: float) -> Keep | Discard | Replicate:
        noise = self.noise(self.champion.fresh, candidate.fresh) if self.policy.baseline_runs > 1 else None
        return self.policy.rule.judge(
            Standing(
                champion_bpb=self.score, candidate=Candidate(bpb=first), pairs=pairs, noise=noise, level=level,
                affordable_pairs=self.affordable(),
            )
        )  # fmt: skip

    def affordable(self) -> int:
        spent = self.replicates + self.proposals + 1
        budget = affordable_pairs(
            replicate_seconds=self.replicates, all_seconds=spent, pair_seconds=2, share=self.policy.share,
            head_start_pairs=6,
        )  # fmt: skip
        return min(budget, self.left // 2)

    def pair(self, candidate: Program, number: int) -> Pair:
        begin = {"since kept": self.champion.chosen, "all": 0, "none": len(self.champion.fresh) - number}
        champion, cost = self.champion.replicate(begin[self.policy.reuse] + number)
        mine, own = candidate.replicate(number)
        self.left -= cost + own
        self.replicates += cost + own
        return Pair(champion_bpb=champion, candidate_bpb=mine)


def cell(policy: Policy, sigma: float, nights: int) -> list[Night]:
    return [Lab(policy, ideas(night), sigma).run() for night in range(nights)]


def unchanged(policy: Policy, nights: int, experiments: int = 30) -> tuple[float, float]:
    """The share of nights without a keep when nothing that is proposed changes anything."""
    kept = [_planted(policy, night, np.zeros(EXPERIMENTS + 1), experiments).keeps for night in range(nights)]
    return _mean([count == 0 for count in kept])


def planted(policy: Policy, nights: int, sigmas: float = 3.0) -> tuple[float, float]:
    """How often a gain of so many σ is kept, proposed first in a new lab."""
    gains = np.zeros(EXPERIMENTS + 1)
    gains[1] = sigmas
    return _mean([_planted(policy, night, gains, 1).keeps for night in range(nights)])


def _planted(policy: Policy, night: int, gains: np.ndarray, experiments: int) -> Night:
    luck = np.random.default_rng([11, night]).standard_normal((EXPERIMENTS + 1, RUNS))
    lab = Lab(policy, Ideas(gains=gains, luck=luck), 1.0)
    lab.left = 100 * EXPERIMENTS
    return lab.run(experiments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Means over the nights, each with its standard error."""

    gain: tuple[float, float]
    false: tuple[float, float]
    keeps: float
    missed: float
    missed_gain: float
    claimed_sigmas: tuple[float, float]
    proposals: float
    replicate_share: float
    tests: float
    expected_false: float


def figures(nights: Sequence[Night], sigma: float) -> Figures:
    keeps, false = np.array([n.keeps for n in nights]), np.array([n.false_keeps for n in nights])
    share = false.sum() / max(1, keeps.sum())
    ratio_error = float(np.std(false - share * keeps) / math.sqrt(len(nights)) / max(1e-9, keeps.mean()))
    return Figures(
        gain=_mean([n.gain for n in nights]), false=(float(share), ratio_error), keeps=float(keeps.mean()),
        missed=_mean([n.missed for n in nights])[0], missed_gain=_mean([n.missed_gain for n in nights])[0],
        claimed_sigmas=_mean([n.claimed / sigma for n in nights]),
        proposals=_mean([n.proposals for n in nights])[0],
        replicate_share=float(np.mean([n.replicates for n in nights])) / (EXPERIMENTS + 1),
        tests=_mean([n.tests for n in nights])[0],
        expected_false=_mean([n.expected_false for n in nights])[0],
    )  # fmt: skip


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values) / math.sqrt(len(values)))


GREEDY = Policy(name="greedy", rule=Greedy(min_gain_bpb=0.0), baseline_runs=1, settle_runs=0)
DEFAULT = Policy(name="replicated", rule=Replicated())
RULES = (
    GREEDY,
    DEFAULT,
    replace(DEFAULT, name="replicated, all runs of the champion used again", reuse="all"),
    replace(DEFAULT, name="replicated, champion always run anew", reuse="none"),
    replace(DEFAULT, name="replicated, every test at 0.05", control=0.05),
)
BANDS = tuple(
    replace(DEFAULT, name=f"band {band:g} σ", rule=Replicated(band_sigmas=band)) for band in (0.75, 1.75, 2.25)
)
ALPHAS = tuple(replace(DEFAULT, name=f"alpha {a:g}", control=Control(alpha=a)) for a in (0.05, 0.1, 0.4))
LINES = {"band": (BANDS[0], DEFAULT, *BANDS[1:]), "alpha": (*ALPHAS[:2], DEFAULT, ALPHAS[2])}
CURVE_SIGMAS = (0.0007, 0.002)

HEAD = (
    "| σ | rule | true gain /1000 | against greedy | false keeps | keeps | missed | claimed − true, σ | proposals "
    "| replicates |\n|" + " --- |" * 10
)


def row(policy: Policy, sigma: float, nights: Sequence[Night], greedy: Sequence[Night]) -> str:
    f = figures(nights, sigma)
    apart, error = _mean([mine.gain - theirs.gain for mine, theirs in zip(nights, greedy, strict=True)])
    share = apart / figures(greedy, sigma).gain[0]
    return (
        f"| {sigma} | {policy.name} | {1000 * f.gain[0]:.2f} ± {1000 * f.gain[1]:.2f} "
        f"| {1000 * apart:+.2f} ± {1000 * error:.2f} ({share:+.0%}) | {f.false[0]:.1%} ± {f.false[1]:.1%} "
        f"| {f.keeps:.1f} | {f.missed:.1f} | {f.claimed_sigmas[0]:+.2f} ± {f.claimed_sigmas[1]:.2f} "
        f"| {f.proposals:.0f} | {f.replicate_share:.0%} |"
    )


def curve(points: dict[str, dict[str, Figures]], path: Path) -> None:
    """What the band and the share of false keeps allowed cost and bring; the default is where the lines cross."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(CURVE_SIGMAS), figsize=(9, 3.6), dpi=90, layout="constrained")
    for ax, sigma in zip(axes, CURVE_SIGMAS, strict=True):
        found = points[str(sigma)]
        for name, line in LINES.items():
            x, y = zip(*[(100 * found[p.name].false[0], 1000 * found[p.name].gain[0]) for p in line], strict=True)
            ax.plot(x, y, marker="o", label=name)
            for policy, at in zip(line, zip(x, y, strict=True), strict=True):
                label = "default" if policy is DEFAULT else policy.name
                ax.annotate(label, at, fontsize=7, xytext=(4, -8), textcoords="offset points")
        ax.axhline(1000 * found["greedy"].gain[0], color="grey", linestyle=":", label="greedy (false: far right)")
        ax.axvline(5, color="red", linewidth=0.6)
        ax.set(title=f"σ = {sigma}", xlabel="false keeps, % of keeps", ylabel="true gain / 1000 bits per byte")
    axes[0].legend(fontsize=7)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("build/decisions"))
    parser.add_argument("--no-curve", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print(f"{machine()}; {arguments.nights} nights a cell\n\n{HEAD}")
    points: dict[str, dict[str, Figures]] = {}
    for sigma in SIGMAS:
        curved = sigma in CURVE_SIGMAS and not arguments.no_curve
        greedy: list[Night] = []
        for policy in (*RULES, *BANDS, *ALPHAS) if curved else RULES:
            nights = cell(policy, sigma, arguments.nights)
            greedy = greedy or nights
            points.setdefault(str(sigma), {})[policy.name] = figures(nights, sigma)
            print(row(policy, sigma, nights, greedy), flush=True)
    for policy in RULES[1:]:
        zero, kept = unchanged(policy, arguments.nights), planted(policy, arguments.nights)
        quiet = f"no keep in 30 experiments that change nothing in {zero[0]:.1%} ± {zero[1]:.1%} of nights"
        print(f"{policy.name}: {quiet}; a gain of 3 σ is kept in {kept[0]:.1%} ± {kept[1]:.1%}")
    told = {sigma: {name: asdict(f) for name, f in cells.items()} for sigma, cells in points.items()}
    (arguments.out / "decisions.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    if not arguments.no_curve:
        curve(points, arguments.out / "decisions.png")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
