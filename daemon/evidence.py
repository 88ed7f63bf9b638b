"""What a lab's ledger holds on noise, replicates and earlier tests, for who judges a candidate.

A program is told by its sha256: an experiment that brings an old program back adds to what is known of that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from daemon.decide import (
    Control,
    Noise,
    Pair,
    PastTest,
    audited_bpb,
    champion_estimate,
    estimate,
    is_demoted,
    spread,
)
from daemon.ledger import Ledger
from daemon.model import Decision, Experiment, Phase, Summary, TrialResult, TrialStatus
from daemon.observe import Event, ExperimentClosed, NoiseKnown, Notice

MIN_LATER_RUNS = 2
DEMOTION_LEVEL = 0.01  # the chance that a keep which is no worse than its ancestor is ever demoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One experiment as evidence. ``program`` and ``rival`` are sha256; scores are audited, in bits per byte.

    ``chosen`` are the runs that it was kept for, where it was; ``settled`` those that it was only scored by.
    """

    number: int
    champion: int | None
    program: str
    rival: str
    chosen: Sequence[float]
    settled: Sequence[float]
    rival_runs: Sequence[float]
    rivals: Sequence[TrialResult]
    pairs: Sequence[Pair]
    seeds: frozenset[int]
    kept: bool
    judged: bool

    @property
    def gain(self) -> float:
        return fmean(pair.gain for pair in self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Seconds of trials in this arena, those of replicates among them, and of one trial on average."""

    seconds: float
    replicate_seconds: float
    trial_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A champion that later runs show to be worse than a program it descends from."""

    champion: int
    ancestor: int
    loss_bpb: float
    runs: int

    @property
    def sentence(self) -> str:
        """For the ledger and for the commit."""
        return (
            f"#{self.champion} is demoted, and #{self.ancestor} comes back: over {self.runs} runs since it was "
            f"kept #{self.champion} was worse by {self.loss_bpb:.6f} bits per byte (error {DEMOTION_LEVEL:g})"
        )


class Evidence:
    """Reads each experiment that ended once. For one thread and one arena; ``rows`` leaves out all but these."""

    def __init__(self, ledger: Ledger, arena: str, rows: Sequence[Summary] | None = None) -> None:
        self._ledger = ledger
        self._arena = arena
        self._rows = rows
        self._past: dict[int, Past] = {}
        self._plain: set[int] = set()  # ended, and with nothing to tell

    def baseline(self, champion: Experiment) -> Sequence[float]:
        """The scores of the program that a champion descends from."""
        lineage = self._lineage(champion)
        return self._runs()[lineage[0].program] if lineage else ()

    def noise(self, experiment: Experiment | None = None) -> Noise | None:
        """Of one run, from every program that ran more than once, the present test's among them.

        What a program scored when it was kept and what it scored as champion are two groups: the first was lucky, and
        the difference is no noise.
        """
        own: dict[str, list[float]] = defaultdict(list)
        later: dict[str, list[float]] = defaultdict(list)
        for past in self._with(experiment):
            own[past.program] += past.chosen
            later[past.program] += past.settled
            later[past.rival] += past.rival_runs
        return estimate([*own.values(), *later.values()])

    def estimates(self, champion: Experiment, noise: Noise | None) -> list[float]:
        """What each champion since the baseline scores, without the luck that made it one; the last is ``champion``.

        Where nothing is known of the noise, the means of their runs.
        """
        runs = self._runs()
        lineage = [runs[past.program] for past in self._lineage(champion)]
        if noise is None:
            return [fmean(scores) for scores in lineage]
        gains = spread([past.pairs[0].gain for past in self._tests()], noise)
        return [champion_estimate(lineage[: end + 1], noise, gains).bpb for end in range(len(lineage))]

    def lends(self, champion: Experiment, seed: int) -> TrialResult | None:
        """The champion's run on a seed, from its own trials or an earlier test against it; without its costs."""
        own = ((champion.number, trial) for trial in champion.counted)
        against = [past for past in self._all() if past.champion == champion.number]
        others = ((past.number, rival) for past in against for rival in past.rivals)
        for number, trial in [*own, *others]:
            if trial.seed == seed and trial.status is TrialStatus.OK:
                return TrialResult(
                    status=trial.status, reason="", seed=seed, score=trial.score, of=champion.number, lent_by=number
                )
        return None

    def spent_seeds(self, program: str, champion: int) -> frozenset[int]:
        """On which a program was judged against this champion before, and on which the champion itself failed."""
        against = [past for past in self._all() if past.champion == champion]
        failed = {rival.seed for past in against for rival in past.rivals if rival.status is not TrialStatus.OK}
        return frozenset(failed.union(*(past.seeds for past in against if past.program == program)))

    def tests(self, control: Control) -> list[PastTest]:
        """Every test that came to an end, in order, with the level that it could spend."""
        done: list[PastTest] = []
        for past in self._tests():
            done.append(PastTest(level=control.level(done), kept=past.kept))
        return done

    def replicated_gains(self) -> list[float]:
        """What the keeps gained by their pairs, bits per byte."""
        return [past.gain for past in self._tests() if past.kept]

    def spent(self) -> Spending:
        rows = self._ledger.summaries(arena=self._arena)
        seconds, trials = sum(row.total_seconds for row in rows), sum(row.trials + row.rivals for row in rows)
        return Spending(
            seconds=seconds,
            replicate_seconds=sum(row.replicate_seconds for row in rows),
            trial_seconds=max(seconds / trials if trials else 0.0, 1e-3),
        )

    def contradiction(self, champion: Experiment) -> Contradiction | None:
        """Whether runs since the keep say that ``champion`` is worse than one it descends from; the best such."""
        lineage, noise, runs = self._lineage(champion), self.noise(), self._runs()
        later = self._later(lineage[-1].program) if lineage else []
        if noise is None or len(lineage) < 2 or len(later) < MIN_LATER_RUNS:
            return None
        better = [
            past for past in lineage[:-1] if is_demoted(runs[past.program], later, noise, DEMOTION_LEVEL / len(lineage))
        ]
        if not better:
            return None
        best = min(better, key=lambda past: fmean(runs[past.program]))
        loss = fmean(later) - fmean(runs[best.program])
        return Contradiction(champion=champion.number, ancestor=best.number, loss_bpb=loss, runs=len(later))

    def _later(self, program: str) -> list[float]:
        """What a program scored when nothing was chosen by it any more."""
        own = [bpb for past in self._all() if past.program == program for bpb in past.settled]
        return own + [bpb for past in self._all() if past.rival == program for bpb in past.rival_runs]

    def program_of(self, number: int) -> str:
        """The sha256 of a kept experiment's train.py."""
        return self._known()[number].program

    def undone(self, champion: Experiment) -> list[int]:
        """The keeps that fell when the program of ``champion`` came back, oldest first; none where it is a new one."""
        *before, last = self._keeps(champion)
        earlier = [past.program for past in before]
        if last.program not in earlier:
            return []
        at = len(earlier) - 1 - earlier[::-1].index(last.program)
        # What only brought an older program back has nothing of its own to try again.
        return [past.number for i, past in enumerate(before) if i > at and past.program not in earlier[:i]]

    def _keeps(self, champion: Experiment) -> list[Past]:
        """Every keep from the baseline to ``champion``."""
        known, chain = self._known(), []
        at: int | None = champion.number
        while at is not None and at in known:
            chain.append(known[at])
            at = known[at].champion
        return chain[::-1]

    def _lineage(self, champion: Experiment) -> list[Past]:
        """The keeps that ``champion`` stands on; where a program came back, what had come after it is left out."""
        found: list[Past] = []
        for past in self._keeps(champion):
            earlier = [other.program for other in found]
            found = found[: earlier.index(past.program)] if past.program in earlier else found
            found.append(past)
        return found

    def _tests(self) -> list[Past]:
        return [past for past in self._all() if past.pairs and past.judged]

    def _runs(self) -> dict[str, list[float]]:
        """Every score of every program, by sha256, but for those that a candidate was looked at for."""
        runs: dict[str, list[float]] = defaultdict(list)
        for past in self._all():
            runs[past.program] += [*past.chosen, *past.settled]
            runs[past.rival] += past.rival_runs
        return runs

    def _with(self, present: Experiment | None) -> Iterable[Past]:
        return [*self._all(), *([_past_of(present, self._known())] if present else [])]

    def _all(self) -> Iterable[Past]:
        return self._known().values()

    def _known(self) -> Mapping[int, Past]:
        for row in self._ledger.summaries(arena=self._arena) if self._rows is None else self._rows:
            if row.number in self._past or row.number in self._plain or not _ended(row):
                continue
            if row.trials > 1 or row.rivals or row.decision is Decision.KEEP:
                self._past[row.number] = _past_of(self._ledger.get(row.number), self._past)
            else:
                self._plain.add(row.number)
        return self._past


class NoiseTeller:
    """An observer that tells the others what is known of the noise, and once when it is not one noise."""

    def __init__(self, evidence: Evidence, tell: Callable[[Event], None]) -> None:
        self._evidence = evidence
        self._tell = tell
        self._warned = False

    def notify(self, event: Event) -> None:
        if not isinstance(event, ExperimentClosed) or (noise := self._evidence.noise()) is None:
            return
        self._tell(NoiseKnown(sigma_bpb=noise.sigma_bpb, runs=noise.runs))
        if noise.heteroscedastic and not self._warned:
            self._warned = True
            self._tell(
                Notice(
                    message=f"programs of this arena do not vary alike over seeds ({noise.test}): one σ for all of "
                    "them is a rough measure, and a gain of a lively program deserves another look"
                )
            )


def pairs_of(experiment: Experiment) -> list[Pair]:
    """Audited scores of champion and candidate on each seed that both were run on."""
    mine = {trial.seed: trial for trial in experiment.trials[1:]}
    both = [(rival, mine[rival.seed]) for rival in experiment.rivals if rival.seed in mine]
    scores = [(audited_bpb([rival]), audited_bpb([own])) for rival, own in both]
    return [Pair(champion_bpb=a, candidate_bpb=b) for a, b in scores if a is not None and b is not None]


def _past_of(experiment: Experiment, known: Mapping[int, Past]) -> Past:
    champion = known.get(experiment.champion) if experiment.champion is not None else None
    seeds = {rival.seed for rival in experiment.rivals}
    return Past(
        number=experiment.number,
        champion=experiment.champion,
        program=experiment.proposal.patch.sha256 if experiment.proposal else "",
        rival=champion.program if champion else f"#{experiment.champion}",
        chosen=scores_of(trial for trial in experiment.counted if trial.seed in seeds),
        settled=scores_of(trial for trial in experiment.counted if trial.seed not in seeds),
        rival_runs=scores_of(rival for rival in experiment.rivals if rival.lent_by is None),
        rivals=[replace(rival, log_tail="") for rival in experiment.rivals if rival.lent_by is None],
        pairs=pairs_of(experiment),
        seeds=frozenset(trial.seed for trial in experiment.trials[1:]),
        kept=experiment.decision is Decision.KEEP,
        judged=experiment.decision is not None or experiment.phase is Phase.QUARANTINED,
    )


def scores_of(trials: Iterable[TrialResult]) -> list[float]:
    """Audited, bits per byte, of those that have one."""
    return [bpb for trial in trials if (bpb := audited_bpb([trial])) is not None]


def _ended(row: Summary) -> bool:
    return row.phase in (Phase.CLOSED, Phase.QUARANTINED)
