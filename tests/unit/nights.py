"""A lab on disk after a night of experiments, written through the real ledger and the real git, without any engine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from values import ALLOWED, ARENA, REFUSED, SCORE, TRIAL

from daemon.lab import Lab, init
from daemon.ledger import Committed, Interrupted, Ledger, TrialStarted
from daemon.model import Arena, Decision, Experiment, Outcome, Patch, Proposal, TrialResult, TrialStatus
from daemon.workspace import commit_message

NIGHT = (
    (Decision.KEEP, 2.0),
    (Decision.KEEP, 1.9),
    (Decision.DISCARD, 1.95),
    (Decision.REFUSED, None),
    (Decision.CRASH, None),
    (None, None),
    (Decision.KEEP, 1.8),
)


@dataclass
class Night:
    """Adds experiments to a lab as the loop does. A baseline begins wherever the branch stands."""

    lab: Lab
    ledger: Ledger
    arena: Arena
    champion: int | None = None

    def add(self, decision: Decision | None, bpb: float | None, *, hypothesis: str = "", runs: int = 1) -> Experiment:
        """One experiment, to its end; ``decision`` None is one that was interrupted."""
        number, tip = self.ledger.count(), self.lab.workspace.tip()
        train_py = self.lab.workspace.read(tip)
        if self.champion is not None:
            train_py += f"# idea {number}\n".encode()
        patch = Patch(train_py=train_py, base_commit=tip)
        experiment = self.ledger.open(
            arena=self.arena, base_commit=tip, champion=self.champion, program=f"brief {number // 3}"
        )
        proposal = Proposal(hypothesis=hypothesis or f"idea {number}", patch=patch, proposer="script")
        experiment = self.ledger.add(experiment, proposal)
        if decision is None:
            return self.ledger.add(experiment, Interrupted(reason="the process ended while it ran"))
        experiment = self.ledger.add(experiment, self._verdict(decision, number))
        for trial in self._trials(decision, bpb, runs):
            experiment = self.ledger.add(experiment, TrialStarted(seed=trial.seed))
            experiment = self.ledger.add(experiment, trial)
        experiment = self.ledger.add(experiment, Outcome(decision=decision, reason=f"it is a {decision.value}"))
        return self.finish(experiment)

    def finish(self, experiment: Experiment) -> Experiment:
        """Bring git in line and close."""
        assert experiment.proposal is not None
        message = commit_message(experiment, self.ledger.decision_hash(experiment.number))
        space = self.lab.workspace
        commit = space.record(experiment.number, experiment.proposal.patch, message, experiment.opened_at)
        experiment = self.ledger.add(experiment, Committed(commit=commit))
        if experiment.decision is Decision.KEEP:
            space.advance(commit, experiment.base_commit)
            self.champion = experiment.number
        return self.ledger.close(experiment)

    def _verdict(self, decision: Decision, number: int) -> object:
        verdict = REFUSED if decision is Decision.REFUSED else ALLOWED
        return replace(verdict, fingerprint=f"{number:064x}")

    def _trials(self, decision: Decision, bpb: float | None, runs: int) -> Sequence[TrialResult]:
        if decision is Decision.REFUSED:
            return ()
        if bpb is None:
            return (TrialResult(status=TrialStatus.CRASH, reason="ZeroDivisionError", seed=1337),)
        scores = [bpb + 0.001 * run for run in range(runs)]
        return [
            replace(TRIAL, seed=1337 + run, score=replace(SCORE, val_bpb=score, corrected_bpb=score))
            for run, score in enumerate(scores)
        ]


def a_lab(directory: Path) -> Lab:
    init(directory, "cpu", "night")
    lab = Lab(directory)
    lab.workspace.start_branch()
    return lab


def arena_of(lab: Lab) -> Arena:
    """The arena that fits the lab's files; the engine's part and the data are made up."""
    return replace(
        ARENA,
        prepare_sha256=hashlib.sha256(lab.read("prepare.py")).hexdigest(),
        train_seconds=lab.settings.time.train_seconds,
        clock=lab.settings.time.clock,
    )


def a_night(directory: Path) -> Lab:
    """A lab in which :data:`NIGHT` happened: experiments 0, 1 and 6 were kept."""
    lab = a_lab(directory)
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab))
        for decision, bpb in NIGHT:
            night.add(decision, bpb)
    return lab
