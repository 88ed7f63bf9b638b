"""The trials of one experiment: as many as the rule asks for, of the candidate and of the champion beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from daemon.claimed import told
from daemon.decide import Answer, Discard, Keep, Replicate, outcome_of
from daemon.ledger import Abandoned, Interrupted, Ledger, Lent, Quarantined, TrialStarted, Voided
from daemon.model import Experiment, OurFault, Outcome, TrialResult, TrialStatus
from daemon.observe import Observers, PhaseEntered, TrialEnded, TrialVoided
from daemon.steering import SKIPPED, STOPPED, Steering
from daemon.text import clean
from daemon.trial import Executor, Listener, NotComparable, TrialPlan
from daemon.tried import free_startup_seconds
from sandbox.interface import Cancelled, SandboxSpec

MAX_VOIDS = 3  # in a row; then something is wrong with the host, and waiting helps more than running
MAX_FAILED_RIVALS = 2
SEEDS_OF_ONE = 1000  # a champion's own


class Skipped(Cancelled):
    """One experiment was abandoned; the loop goes on."""


class Judge(Protocol):
    """Who says what a candidate's trials are worth."""

    def answer(self, experiment: Experiment, champion: Experiment | None) -> Answer | Quarantined:
        """Every trial of ``experiment`` ended well; ``champion`` is None for a baseline."""
        ...

    def lends(self, champion: Experiment, seed: int) -> TrialResult | None:
        """What the champion did on this seed since it was kept, where it was run on it."""
        ...

    def spent_seeds(self, experiment: Experiment, champion: Experiment) -> frozenset[int]:
        """Seeds that tell nothing new: this very program was judged by them before, or the champion fails on them."""
        ...

    def settled(self, experiment: Experiment) -> bool:
        """Whether what is kept has been run often enough for its score to be told."""
        ...

    def reach(self, experiment: Experiment, champion: Experiment | None) -> float | None:
        """A score of the next trial below this could lead to a keep; the referee then looks a second time."""
        ...


def fresh_seed(train_seed: int, champion: int, pair: int) -> int:
    """The seeds of tests against the champion of that number: it was not chosen by them, and no candidate was.

    A champion is run once on each; later candidates are compared with that run. Another champion has other seeds.
    """
    return (train_seed + SEEDS_OF_ONE * (champion + 1) + pair) % 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Trying:
    """Runs trials for a lab's loop. ``prepare`` is told when a candidate trains, and may use the time."""

    ledger: Ledger
    executor: Executor
    plan: Callable[[TrialPlan], SandboxSpec]
    judge: Judge
    train_seed: int
    startup_margin_seconds: float
    observers: Observers
    steering: Steering
    replicates: bool = True
    prepare: Callable[[Experiment, Experiment], None] = lambda _champion, _running: None

    def until_decided(
        self, experiment: Experiment, champion: Experiment | None
    ) -> tuple[Experiment, Outcome | Quarantined]:
        """Run trials until the judge has an answer, or one of the candidate's own fails.

        Raises:
            OurFault: the service failed; the experiment is marked interrupted.
            Cancelled: told to stop; likewise. Skipped: told to give this one up; it is marked abandoned.
        """
        while True:
            experiment = self._own(experiment, champion, self._seed(experiment))
            if (trial := experiment.trials[-1]).status is not TrialStatus.OK:
                return experiment, outcome_of(trial)
            answer = self.judge.answer(experiment, champion)
            while isinstance(answer, Replicate) and champion is not None:
                experiment, end = self._pairs(experiment, champion, answer.pairs)
                if end is not None:
                    return experiment, end
                answer = self.judge.answer(experiment, champion)
            if isinstance(answer, Keep):
                return self._settle(experiment, champion, outcome_of(answer))
            if not isinstance(answer, Replicate):
                return experiment, answer if isinstance(answer, Quarantined) else outcome_of(answer)

    def _settle(
        self, experiment: Experiment, champion: Experiment | None, outcome: Outcome
    ) -> tuple[Experiment, Outcome]:
        """Run what is kept until its score can be told: on the seeds that it will be compared by as champion."""
        ran = 0
        while champion is not None and not self.judge.settled(experiment):
            experiment = self._own(experiment, champion, fresh_seed(self.train_seed, experiment.number, ran))
            if (trial := experiment.trials[-1]).status is not TrialStatus.OK:
                return experiment, outcome_of(trial)
            ran += 1
        return experiment, outcome

    def _pairs(self, experiment: Experiment, champion: Experiment, pairs: int) -> tuple[Experiment, Outcome | None]:
        """Candidate and champion on so many fresh seeds; an outcome where that already decides."""
        for _ in range(pairs):
            seed = self._pair_seed(experiment, champion)
            # In turn, so that a host that slowly warms up or fills up favours neither.
            for run in (self._own, self._rival) if len(experiment.trials) % 2 else (self._rival, self._own):
                experiment = run(experiment, champion, seed)
                if (trial := experiment.trials[-1]).status is not TrialStatus.OK:
                    return experiment, outcome_of(trial)
            if end := _no_rival(experiment):
                return experiment, end
        return experiment, None

    def _pair_seed(self, experiment: Experiment, champion: Experiment) -> int:
        spent = self.judge.spent_seeds(experiment, champion) | {trial.seed for trial in experiment.trials[1:]}
        seeds = (fresh_seed(self.train_seed, champion.number, pair) for pair in range(SEEDS_OF_ONE))
        return next((seed for seed in seeds if seed not in spent), fresh_seed(self.train_seed, champion.number, 0))

    def _seed(self, experiment: Experiment) -> int:
        """All candidates are looked at on one seed; a baseline is run on those that it is compared by as champion."""
        if experiment.champion is not None or not self.replicates:
            return self.train_seed
        return fresh_seed(self.train_seed, experiment.number, len(experiment.trials))

    def _own(self, experiment: Experiment, champion: Experiment | None, seed: int) -> Experiment:
        assert experiment.proposal is not None  # noqa: S101 - the ledger admits no trial without one
        train_py = experiment.proposal.patch.train_py
        return self._comparable(experiment, champion, train_py, TrialStarted(seed=seed))

    def _rival(self, experiment: Experiment, champion: Experiment | None, seed: int) -> Experiment:
        assert champion is not None and champion.proposal is not None  # noqa: S101 - a rival is one
        if (lent := self.judge.lends(champion, seed)) is not None:
            return self.ledger.add(experiment, Lent(result=lent))
        started = TrialStarted(seed=seed, of=champion.number)
        return self._comparable(experiment, champion, champion.proposal.patch.train_py, started)

    def _comparable(
        self, experiment: Experiment, champion: Experiment | None, train_py: bytes, started: TrialStarted
    ) -> Experiment:
        """One trial that counts: what the host spoilt is run again."""
        for _ in range(MAX_VOIDS):
            plan = self._planned(experiment, champion, train_py, started)
            experiment = self.ledger.add(experiment, started)
            try:
                return self._run(experiment, champion, plan, started.of)
            except NotComparable as void:
                reason = clean(str(void), 300)
                experiment = self.ledger.add(experiment, Voided(reason=reason))
                self.observers.notify(TrialVoided(number=experiment.number, reason=reason))
        self.ledger.add(experiment, Interrupted(reason=f"{MAX_VOIDS} trials in a row could not be compared"))
        raise OurFault(f"{MAX_VOIDS} trials in a row could not be compared with others; the last one: {reason}")

    def _run(self, experiment: Experiment, champion: Experiment | None, plan: TrialPlan, of: int | None) -> Experiment:
        with self.steering.trying(experiment.number):
            try:
                result = self.executor.run(self.plan(plan), self._listener(experiment, champion))
            except Cancelled:
                if self.steering.abandons() == SKIPPED:
                    self.ledger.add(experiment, Abandoned(reason=SKIPPED))
                    raise Skipped(SKIPPED) from None
                self.ledger.add(experiment, Interrupted(reason=STOPPED))
                raise
            except OurFault as fault:
                self.ledger.add(experiment, Interrupted(reason=str(fault)[:300]))
                raise
        result = replace(result, of=of)
        experiment = self.ledger.add(experiment, result)
        self.observers.notify(TrialEnded(number=experiment.number, result=result))
        return experiment

    def _planned(
        self, experiment: Experiment, champion: Experiment | None, train_py: bytes, started: TrialStarted
    ) -> TrialPlan:
        rows = self.ledger.summaries(arena=experiment.arena)
        return TrialPlan(
            train_py=train_py,
            run_id=_run_id(experiment, started.of),
            seed=started.seed,
            free_startup_seconds=None if champion is None else free_startup_seconds(rows, self.startup_margin_seconds),
            confirm_below=self.judge.reach(experiment, champion) if started.of is None else None,
        )

    def _listener(self, experiment: Experiment, champion: Experiment | None) -> Listener:
        def on_phase(phase: str, seconds: float) -> None:
            if phase == "training" and champion is not None:
                self.prepare(champion, experiment)
            self.observers.notify(
                PhaseEntered(number=experiment.number, phase=phase, seconds=seconds, hypothesis=experiment.hypothesis)
            )

        on_log = partial(told, self.observers, experiment.number)
        return Listener(on_phase=on_phase, on_log=on_log, cancel=lambda: self.steering.abandons() is not None)


def _run_id(experiment: Experiment, of: int | None) -> str:
    """Unique in the lab; a rival's tells whose program it is."""
    name = f"{experiment.number:05d}-{len(experiment.events)}"
    return name if of is None else f"{name}-of-{of}"


def _no_rival(experiment: Experiment) -> Outcome | None:
    """The end of a comparison in which the champion itself does not run: nothing is kept on such ground."""
    failed = [rival for rival in experiment.rivals if rival.status is not TrialStatus.OK]
    if len(failed) < MAX_FAILED_RIVALS:
        return None
    return outcome_of(
        Discard(
            reason=f"champion #{experiment.champion} could not be run beside it ({failed[-1].status.value} on seed "
            f"{failed[-1].seed}), so nothing is known of a gain"
        )
    )
