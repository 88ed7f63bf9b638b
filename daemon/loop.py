"""The only file that knows the order of things: propose, check, try, decide, finish; and what a start repairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from daemon.ahead import Next
from daemon.approval import SUBMITTER
from daemon.decide import outcome_of
from daemon.demotion import PROPOSER
from daemon.ledger import Committed, Interrupted, Ledger, Quarantined
from daemon.model import Arena, Decision, Experiment, OurFault, Outcome, Patch, Proposal, UserError
from daemon.observe import (
    ExperimentClosed,
    FaultSeen,
    Observers,
    Paused,
    ProviderCharged,
    Recovered,
    Withheld,
)
from daemon.proposers.interface import NothingToPropose
from daemon.proposing import CapReached, Source
from daemon.steering import Steering
from daemon.text import clean
from daemon.tried import tried_on
from daemon.trying import Skipped, Trying
from daemon.workspace import Workspace, commit_message
from policies.interface import Submission, Verdict
from sandbox.interface import Cancelled

BACKOFF_SECONDS = (5.0, 15.0, 60.0, 180.0)
IDLE_SECONDS = 5.0  # how often one that has nothing to do looks whether it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One lab's research, with everything it needs given to it."""

    arena: Arena
    ledger: Ledger
    workspace: Workspace
    source: Source
    check: Callable[[Submission], Verdict]
    trying: Trying
    observers: Observers
    steering: Steering
    healthy: Callable[[], None] = lambda: None
    kept: Callable[[Experiment], None] = lambda _champion: None

    def run(self, experiments: int, stop_after: Callable[[], int | None] = lambda: None) -> int:
        """Run a baseline if this arena has none, then up to ``experiments`` steps; returns how many were decided.

        Ends early, without an error, when told to stop, when the proposer has nothing left, or when the people's brief
        says that so many are enough (``stop_after``, asked before each).

        Raises:
            UserError: the baseline cannot be kept, so that there is nothing to improve.
            OurFault: the service failed again and again.
        """
        decided = 0
        while not self.steering.stops():
            try:
                self._patiently(self.champion_or_baseline)
                if decided >= min(experiments, stop_after() or experiments) or self.steering.stops():
                    break
                self._patiently(self._step_on)
                decided += 1
            except CapReached as cap:
                self.observers.notify(Paused(reason=str(cap)))
                break
            except Skipped:
                continue
            except (NothingToPropose, Cancelled):
                break
        return decided

    def serve(
        self, stop_after: Callable[[], int | None] = lambda: None, reloads: Callable[[], bool] = lambda: True
    ) -> None:
        """Run experiments until told to stop or to reload: through outages and pauses, and when there is nothing to do.

        ``stop_after`` counts from the start, or from the last change of the brief. ``reloads`` is asked when told to
        reload: it looks at the settings, and where they cannot be used this loop goes on.

        Raises:
            UserError: a mistake in the lab that only a person can mend.
        """
        decided, brief, told = 0, self.source.program(), ""
        while not self.steering.stops():
            if self.steering.take_reload() and reloads():
                return
            if self.source.program() != brief:
                decided, brief = 0, self.source.program()
            try:
                if not (why := self._why_wait(decided, stop_after())):
                    self._patiently(self.champion_or_baseline, forever=True)
                    if self.steering.leaves():
                        continue
                    self._patiently(self._step_on, forever=True)
                    decided += 1
            except NothingToPropose as nothing:
                why = str(nothing) or "the proposer has nothing left"
            except Skipped:
                continue
            except Cancelled:
                if self.steering.leaves():
                    continue
                return
            if why and why != told:
                self.observers.notify(Paused(reason=why))
            told = why
            if why:
                self.steering.wait(IDLE_SECONDS)

    def _why_wait(self, decided: int, stop_after: int | None) -> str:
        if self.steering.paused:
            return "paused by the operator"
        if stop_after and decided >= stop_after:
            return f"program.md says that {stop_after} experiments are enough"
        return ""

    def champion_or_baseline(self) -> Experiment:
        """The experiment that the branch stands on; a new baseline when the branch or the arena is new."""
        champion = self.ledger.champion(self.arena.fingerprint)
        tip = self.workspace.tip()
        if champion is not None and champion.commit == tip:
            return champion
        patch = Patch(train_py=self.workspace.read(tip), base_commit=tip)
        proposal = Proposal(hypothesis="baseline", patch=patch, proposer="baseline")
        baseline = self._pursue(Next(proposal=proposal, program=self.source.program()), None)
        if baseline.decision is not Decision.KEEP:
            reason = clean(baseline.outcome.reason, 300) if baseline.outcome else "it was not decided"
            raise UserError(
                f"the baseline was not kept ({reason}), so there is nothing to improve; "
                f"see `autoresearch show {baseline.number}` and mend train.py"
            )
        return baseline

    def _step_on(self) -> Experiment:
        """A step on whoever is champion now: after a fault it may be another one than before."""
        return self.step(self.champion_or_baseline())

    def step(self, champion: Experiment) -> Experiment:
        """One experiment, from its proposal to its close.

        Raises:
            NothingToPropose: the proposer is at its end.
            OurFault: the service failed; the experiment is marked interrupted and is taken up again next time.
            Cancelled: told to stop; likewise.
        """
        closed = self._pursue(self.source.next(champion), champion)
        self.source.learn(champion, closed)
        return closed

    def recover(self, reaped: Sequence[str]) -> None:
        """Bring git in line with the ledger after a kill: finish what was decided, mark the rest interrupted."""
        finished, interrupted = [], []
        for experiment in self.ledger.unfinished():
            if experiment.outcome is not None:
                self._finish(experiment)
                finished.append(experiment.number)
            else:
                self.ledger.add(experiment, Interrupted(reason="the process ended while it ran"))
                interrupted.append(experiment.number)
        if finished and (champion := self.ledger.champion(self.arena.fingerprint)) is not None:
            self.kept(champion)
        if finished or interrupted or reaped:
            self.observers.notify(Recovered(finished=finished, interrupted=interrupted, reaped=reaped))

    def _pursue(self, asked: Next, champion: Experiment | None) -> Experiment:
        proposal, patch = asked.proposal, asked.proposal.patch
        experiment = self.ledger.open(
            arena=self.arena,
            base_commit=patch.base_commit,
            champion=champion.number if champion else None,
            program=asked.program,
        )
        if proposal.usage is not None:
            experiment = self.ledger.add(experiment, proposal.usage)
            self.observers.notify(ProviderCharged(usage=proposal.usage))
        experiment = self.ledger.add(experiment, proposal)
        self.source.inbox.discard(proposal.ticket)
        base = self.workspace.read(patch.base_commit) if champion else b""  # a baseline replaces nothing
        # What a person approved, or what a contradicted keep brings back, is tried for a reason of its own.
        again = proposal.proposer in (SUBMITTER, PROPOSER)
        tried = {} if again else tried_on(patch.base_commit, self.ledger.summaries(arena=self.arena.fingerprint))
        submission = Submission(patch=patch.train_py, base=base, files=proposal.files, tried=tried)
        experiment = self.ledger.add(experiment, self.check(submission))
        end: Outcome | Quarantined
        if experiment.verdict is not None and not experiment.verdict.allowed:
            end = outcome_of(experiment.verdict)
        else:
            experiment, end = self.trying.until_decided(experiment, champion)
        experiment = self.ledger.add(experiment, end)
        if isinstance(end, Quarantined):
            self.observers.notify(Withheld(experiment=experiment))
            return experiment
        experiment = self._finish(experiment, champion)
        if experiment.decision is Decision.KEEP:
            self.kept(experiment)
        return experiment

    def _finish(self, experiment: Experiment, champion: Experiment | None = None) -> Experiment:
        """Bring git in line with a decision that is on the ledger; every part of it may be repeated."""
        assert experiment.proposal is not None and experiment.outcome is not None  # noqa: S101 - it was decided
        if experiment.commit is None:
            message = commit_message(experiment, self.ledger.decision_hash(experiment.number))
            commit = self.workspace.record(experiment.number, experiment.proposal.patch, message, experiment.opened_at)
            experiment = self.ledger.add(experiment, Committed(commit=commit))
        if experiment.decision is Decision.KEEP and experiment.commit is not None:
            self.workspace.advance(experiment.commit, experiment.base_commit)
        experiment = self.ledger.close(experiment)
        self.observers.notify(
            ExperimentClosed(experiment=experiment, champion_bpb=champion.val_bpb if champion else None)
        )
        return experiment

    def _patiently(self, act: Callable[[], Experiment], *, forever: bool = False) -> Experiment:
        """Try again after a fault of ours, waiting longer each time, and not before the service looks healthy."""
        for pause in chain(BACKOFF_SECONDS, repeat(BACKOFF_SECONDS[-1]) if forever else ()):
            try:
                self.healthy()
                return act()
            except OurFault as fault:
                self.observers.notify(FaultSeen(message=str(fault), retry_seconds=pause, kind=fault.kind))
                if self.steering.wait(pause) or self.steering.leaves():
                    raise Cancelled("stopped while waiting") from fault
                self.recover(reaped=())
        return act()
