"""What every proposer must do. A test module makes a class of it and gives it a proposer and a context."""

from __future__ import annotations

from dataclasses import replace

from values import BASE, scored

from daemon.model import (
    MAX_HYPOTHESIS_CHARACTERS,
    Decision,
    Experiment,
    Outcome,
    Patch,
    Phase,
    Proposal,
    TrialResult,
)
from daemon.proposers.interface import Context, Proposer
from policies.interface import Verdict


def closed(
    number: int,
    train_py: bytes,
    trial: TrialResult | float | None,
    *,
    champion: int | None = 0,
    decision: Decision = Decision.DISCARD,
    proposer: str = "optuna",
) -> Experiment:
    """A closed experiment; ``trial`` is its only trial or that trial's val_bpb, None when it was refused."""
    trials = () if trial is None else ((scored(trial) if isinstance(trial, float) else trial),)
    return Experiment(
        number=number,
        arena="a",
        base_commit=BASE,
        champion=champion,
        phase=Phase.CLOSED,
        opened_at="2026-01-01T00:00:00.000Z",
        proposal=Proposal(
            hypothesis=f"idea {number}", patch=Patch(train_py=train_py, base_commit=BASE), proposer=proposer
        ),
        verdict=Verdict(rules=("r",), findings=()),
        trials=trials,
        outcome=Outcome(decision=decision, reason=""),
        commit=f"{number:040x}",
    )


def context_of(train_py: bytes, *, profile: str = "cpu", rng_seed: int = 0) -> Context:
    """Right after a baseline of 1.5 bits per byte."""
    baseline = closed(0, train_py, 1.5, champion=None, decision=Decision.KEEP, proposer="baseline")
    return Context(
        champion=baseline,
        train_py=train_py,
        base_commit=BASE,
        history=[baseline],
        program="be bold",
        profile=profile,
        rng_seed=rng_seed,
    )


def after(context: Context, proposal: Proposal, trial: TrialResult | float, *, keep: bool = False) -> Context:
    """The context once ``proposal`` was tried."""
    done = closed(
        len(context.history),
        proposal.patch.train_py,
        trial,
        champion=context.champion.number,
        decision=Decision.KEEP if keep else Decision.DISCARD,
        proposer=proposal.proposer,
    )
    done = replace(done, proposal=proposal)
    context = replace(context, history=[*context.history, done])
    return replace(context, champion=done, train_py=proposal.patch.train_py) if keep else context


class ProposerConformance:
    """Subclass as ``Test...`` and define both methods; ``proposer`` makes a new one at each call."""

    def proposer(self) -> Proposer:
        raise NotImplementedError

    def context(self) -> Context:
        raise NotImplementedError

    def test_answers_with_a_valid_proposal(self) -> None:
        proposer, context = self.proposer(), self.context()
        proposal = proposer.propose(context)
        assert 0 < len(proposal.hypothesis) <= MAX_HYPOTHESIS_CHARACTERS
        assert proposal.hypothesis.isprintable()
        assert proposal.patch.base_commit == context.base_commit
        assert proposal.proposer == proposer.name != ""
        assert isinstance(proposal.patch.train_py, bytes)

    def test_the_same_context_gives_the_same_answer(self) -> None:
        proposer = self.proposer()
        first = proposer.propose(self.context())
        assert proposer.propose(self.context()) == first
        assert self.proposer().propose(self.context()) == first

    def test_a_restart_in_the_middle_changes_nothing(self) -> None:
        old, context = self.proposer(), self.context()
        context = after(context, old.propose(context), 1.6)
        assert self.proposer().propose(context) == old.propose(context)

    def test_the_context_is_not_changed(self) -> None:
        context = self.context()
        history = list(context.history)
        self.proposer().propose(context)
        assert context == self.context()
        assert list(context.history) == history
