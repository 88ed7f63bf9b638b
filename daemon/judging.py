"""What a candidate's trials are worth, by a lab's rule and by what its ledger holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from daemon.decide import (
    Answer,
    Control,
    Discard,
    Greedy,
    Keep,
    Noise,
    Replicate,
    Replicated,
    Rule,
    Simpler,
    affordable_pairs,
    decide,
    ignores_seed,
    to_beat,
    too_good,
)
from daemon.evidence import Evidence, pairs_of, scores_of
from daemon.ledger import Ledger, Quarantined
from daemon.model import Experiment, TrialResult
from daemon.sections import DecideSettings

NEEDED_GAINS = 3  # clear ones, before a lab knows what is usual
EQUAL_SIGMAS = 2.0  # an equal score cannot be shown more closely by a few runs
ANY_SCORE = 1e9  # bits per byte; a replicate is audited a second time whatever it scores


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLook:
    """Judges by the champion's own score, as a rule without replicates does."""

    ledger: Ledger
    rule: Rule

    def answer(self, experiment: Experiment, champion: Experiment | None) -> Answer | Quarantined:
        return decide(self._to_beat(champion), experiment.trials, None, self.rule, saved_nodes(experiment))

    def reach(self, experiment: Experiment, champion: Experiment | None) -> float | None:  # noqa: ARG002
        bar = self._to_beat(champion)
        return math.nextafter(self.rule.reach(bar), math.inf) if bar is not None else None

    def lends(self, champion: Experiment, seed: int) -> TrialResult | None:  # noqa: ARG002
        return None

    def settled(self, experiment: Experiment) -> bool:  # noqa: ARG002
        return True

    def spent_seeds(self, experiment: Experiment, champion: Experiment) -> frozenset[int]:  # noqa: ARG002
        return frozenset()

    def _to_beat(self, champion: Experiment | None) -> float | None:
        return to_beat(champion, self.ledger.summaries(arena=champion.arena)) if champion else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of the seconds spent may go to replicates, with what in hand to begin with."""

    share: float
    head_start_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ByReplicates:
    """Judges by pairs of runs on fresh seeds, and by all that was ever run of the champion.

    ``baseline_runs`` seeds tell the noise of one run; a new champion is run ``settle_runs`` times before it counts.
    ``suspicious_factor`` times the largest gain that replicates ever showed is too good to be kept before a person has
    looked; ``approved`` says of a patch, by sha256, that one has.
    """

    evidence: Evidence
    rule: Rule
    control: Control
    allowance: Allowance
    baseline_runs: int
    settle_runs: int
    suspicious_factor: float
    approved: Callable[[str], bool]

    def answer(self, experiment: Experiment, champion: Experiment | None) -> Answer | Quarantined:
        if champion is None:
            if (runs := len(experiment.trials)) < self.baseline_runs:
                return Replicate(pairs=1, reason=f"{runs} of {self.baseline_runs} runs that tell the noise")
            return decide(None, experiment.trials, None, self.rule)
        evidence = self.evidence
        if (found := evidence.contradiction(champion)) and _program(experiment) == evidence.program_of(found.ancestor):
            return Keep(reason=found.sentence)
        if ignores_seed(scores_of(experiment.trials), evidence.baseline(champion)):
            return Discard(
                reason="its scores on different seeds are the same to the last bit where the baseline's differ: it "
                "ignores AUTORESEARCH_SEED, so luck cannot be told from gain"
            )
        noise = evidence.noise(experiment)
        estimates = evidence.estimates(champion, noise)
        answer = decide(
            estimates[-1],
            experiment.trials,
            noise,
            self.rule,
            saved_nodes(experiment),
            pairs=pairs_of(experiment),
            level=self.control.level(evidence.tests(self.control)),
            affordable_pairs=self._affordable(),
            best_bpb=min(estimates),
        )
        return self._too_good(experiment) or answer if isinstance(answer, Keep) else answer

    def reach(self, experiment: Experiment, champion: Experiment | None) -> float | None:
        if champion is None:
            return None
        if experiment.trials:
            return ANY_SCORE
        noise: Noise | None = self.evidence.noise(experiment)
        return math.nextafter(self.rule.reach(self.evidence.estimates(champion, noise)[-1], noise), math.inf)

    def lends(self, champion: Experiment, seed: int) -> TrialResult | None:
        return self.evidence.lends(champion, seed)

    def settled(self, experiment: Experiment) -> bool:
        """Once at least on a seed of its own: a champion that fails there could be compared with nothing."""
        paired = {rival.seed for rival in experiment.rivals}
        own = sum(trial.seed not in paired for trial in experiment.trials[1:])
        return len(experiment.trials) - 1 >= self.settle_runs and own >= 1

    def spent_seeds(self, experiment: Experiment, champion: Experiment) -> frozenset[int]:
        return self.evidence.spent_seeds(_program(experiment), champion.number)

    def _affordable(self) -> int:
        spent = self.evidence.spent()
        return affordable_pairs(
            replicate_seconds=spent.replicate_seconds,
            all_seconds=spent.seconds,
            pair_seconds=2 * spent.trial_seconds,
            share=self.allowance.share,
            head_start_pairs=self.allowance.head_start_pairs,
        )

    def _too_good(self, experiment: Experiment) -> Quarantined | None:
        gain, noise = experiment.gain_bpb, self.evidence.noise(experiment)
        if gain is None or noise is None or self.approved(_program(experiment)):
            return None
        # A keep for being simpler, or a small one, is no measure of what is possible here.
        known = [found for found in self.evidence.replicated_gains() if found > 2 * noise.sigma_bpb]
        if len(known) < NEEDED_GAINS or not too_good(gain, known, self.suspicious_factor):
            return None
        return Quarantined(
            reason=f"a gain of {gain:.6f} bits per byte over {len(experiment.pairs)} fresh pairs is more than "
            f"{self.suspicious_factor:g} times the largest that replicates ever showed here ({max(known):.6f})"
        )


def judge_of(
    settings: DecideSettings, ledger: Ledger, evidence: Evidence, approved: Callable[[str], bool]
) -> OneLook | ByReplicates:
    """Who judges by ``[decide]``."""
    if settings.rule == "greedy":
        greedy = Greedy(min_gain_bpb=settings.min_gain_bpb)
        rule = Simpler(rule=greedy, equal_bpb=settings.equal_bpb) if settings.simpler else greedy
        return OneLook(ledger=ledger, rule=rule)
    return ByReplicates(
        evidence=evidence,
        rule=_replicated(settings),
        control=Control(alpha=settings.false_keeps, stake=min(settings.false_keeps_at_first, settings.false_keeps)),
        allowance=Allowance(share=settings.replicate_share, head_start_pairs=settings.max_pairs),
        baseline_runs=settings.baseline_runs,
        settle_runs=settings.settle_runs,
        suspicious_factor=settings.suspicious_factor,
        approved=approved,
    )


def _replicated(settings: DecideSettings) -> Rule:
    replicated = Replicated(
        min_gain_bpb=settings.min_gain_bpb, band_sigmas=settings.promising_sigmas, max_pairs=settings.max_pairs
    )
    if not settings.simpler:
        return replicated
    return Simpler(rule=replicated, equal_bpb=settings.equal_bpb, test=replicated, equal_sigmas=EQUAL_SIGMAS)


def saved_nodes(experiment: Experiment) -> int:
    return experiment.verdict.saved_nodes if experiment.verdict else 0


def _program(experiment: Experiment) -> str:
    assert experiment.proposal is not None  # noqa: S101 - it ran
    return experiment.proposal.patch.sha256
