"""The mixture: who is next, who takes over, what it costs, and that everybody is told of everything."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from proposer_conformance import ProposerConformance, after, closed, context_of

from daemon.credentials import KeySource
from daemon.model import Experiment, Lesson, OurFault, Patch, Proposal, Usage, UserError
from daemon.proposers import ablation, optuna_search
from daemon.proposers.hybrid import Component, HybridProposer
from daemon.proposers.interface import Context, NothingToPropose, ProposalFailed, Proposer, load
from daemon.proposers.literals import SpaceError, read_space

REAL = (Path(__file__).parents[2] / "train.py").read_bytes()
COST = Usage(purpose="proposal", model="m", input_tokens=100, output_tokens=10, usd=0.5, requests=("r1",))


@dataclass
class Named:
    """Answers with a file that bears its name and the number of experiments, or raises."""

    name: str
    trouble: Exception | None = None
    usage: Usage | None = None
    asked: list[Context] = field(default_factory=list)

    def propose(self, context: Context) -> Proposal:
        self.asked.append(context)
        if self.trouble is not None:
            raise self.trouble
        train_py = context.train_py + f"# {self.name} {len(context.history)}\n".encode()
        patch = Patch(train_py=train_py, base_commit=context.base_commit)
        return Proposal(hypothesis=f"of {self.name}", patch=patch, proposer=self.name, usage=self.usage)


class Reflecting(Named):
    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        return Lesson(text=f"{self.name} learnt of {experiment.number}")


def hybrid(*parts: tuple[Proposer, float], seed: int = 1) -> HybridProposer:
    return HybridProposer([Component(proposer=proposer, weight=weight) for proposer, weight in parts], seed)


def names(proposer: Proposer, turns: int, context: Context | None = None) -> list[str]:
    context, found = context or context_of(REAL), []
    for _ in range(turns):
        proposal = proposer.propose(context)
        found.append(proposal.proposer)
        context = after(context, proposal, 1.6)
    return found


class TestHybrid(ProposerConformance):
    """One component bears the mixture's name here: the suite asks for the proposer's own."""

    def proposer(self) -> Proposer:
        return hybrid((Named("hybrid"), 1.0), (Named("never", trouble=OurFault("away")), 1e-9))

    def context(self) -> Context:
        return context_of(REAL)


class TestRealComponents(ProposerConformance):
    def proposer(self) -> Proposer:
        return hybrid((optuna_search.build({}), 0.8), (ablation.build({}), 0.2))

    def context(self) -> Context:
        return context_of(REAL)

    def test_answers_with_a_valid_proposal(self) -> None:
        proposal = self.proposer().propose(self.context())
        assert proposal.proposer in ("optuna", "ablation")
        assert read_space(proposal.patch.train_py, "cpu")


@pytest.mark.parametrize("seed", range(6))
def test_shares_are_kept_even_in_a_short_night(seed: int) -> None:
    mixture = hybrid((Named("model"), 3), (Named("optimiser"), 6), (Named("ablation"), 1), seed=seed)
    order = names(mixture, 60)
    for window in range(0, 50, 10):
        assert 2 <= order[window : window + 10].count("model") <= 4
        assert 5 <= order[window : window + 10].count("optimiser") <= 7
        assert order[window : window + 10].count("ablation") <= 2
    assert abs(order.count("ablation") - 6) <= 1


def test_seeds_begin_elsewhere() -> None:
    orders = {tuple(names(hybrid((Named("a"), 1), (Named("b"), 1), seed=seed), 6)) for seed in range(8)}
    assert len(orders) > 2


def test_it_is_the_number_of_experiments_that_counts_not_who_made_them() -> None:
    context = context_of(REAL)
    order = names(hybrid((Named("a"), 1), (Named("b"), 1)), 8)
    strangers = [closed(n, REAL, 1.6, proposer="person") for n in range(1, 5)]
    assert (
        names(hybrid((Named("a"), 1), (Named("b"), 1)), 4, replace(context, history=[*context.history, *strangers]))
        == order[4:]
    )


def test_a_running_experiment_counts_as_one_that_was_made() -> None:
    context, mixture = context_of(REAL), hybrid((Named("a"), 1), (Named("b"), 1))
    order = names(mixture, 4)
    running = closed(1, REAL, None)
    assert mixture.propose(replace(context, pending=(running,))).proposer == order[1]
    assert mixture.propose(replace(context, history=[*context.history, running])).proposer == order[1]


def test_everybody_is_told_of_every_result() -> None:
    parts = [Named("a"), Named("b"), Named("c")]
    names(hybrid(*((part, 1) for part in parts)), 12)
    for part in parts:
        seen = {e.proposal.proposer for e in part.asked[-1].history if e.proposal}
        assert seen == {"baseline", "a", "b", "c"}


@pytest.mark.parametrize(
    "trouble", [ProposalFailed("no sense"), NothingToPropose("over"), OurFault("away"), SpaceError("no block")]
)
def test_who_cannot_propose_hands_over_to_the_heaviest(trouble: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mixture = hybrid((Named("light"), 1), (Named("model", trouble=trouble), 50), (Named("heavy"), 2))
    order = names(mixture, 20)
    assert "model" not in order
    assert order.count("heavy") >= 16
    assert f"model hands over: {trouble}" in caplog.text
    loud = {record.levelno for record in caplog.records}
    assert loud == {logging.INFO if isinstance(trouble, NothingToPropose) else logging.WARNING}


def test_a_provider_that_is_down_does_not_stop_the_night_and_comes_back() -> None:
    model = Named("model", trouble=OurFault("the provider is overloaded"))
    mixture = hybrid((model, 1), (optuna_search.build({}), 1))
    context = context_of(REAL)
    for _ in range(4):
        proposal = mixture.propose(context)
        assert proposal.proposer == "optuna"
        context = after(context, proposal, 1.6)
    model.trouble = None
    assert "model" in names(mixture, 4, context)


def test_a_fault_stays_a_fault_when_nobody_can_take_over() -> None:
    away, failed, over = OurFault("away"), ProposalFailed("no sense", COST), NothingToPropose("over")

    def answer(*troubles: Exception) -> Exception:
        with pytest.raises(type(troubles[0])) as caught:
            hybrid(*((Named(f"p{at}", trouble=trouble), 1) for at, trouble in enumerate(troubles))).propose(
                context_of(REAL)
            )
        return caught.value

    assert answer(away) is away
    assert answer(away, failed, over) is away
    assert str(answer(failed, over)) == "no sense"
    assert answer(SpaceError("line 3"), over).args == ("line 3",)
    assert answer(over, NothingToPropose("too")).args[0] in ("over", "too")


def test_a_mistake_for_a_person_is_raised_at_once() -> None:
    with pytest.raises(UserError, match="no key"):
        hybrid((Named("model", trouble=UserError("no key")), 1.0), (Named("other"), 1e-9)).propose(context_of(REAL))


def test_what_a_failed_attempt_cost_is_not_lost() -> None:
    failing = Named("model", trouble=ProposalFailed("no sense", COST))
    free = hybrid((failing, 1.0), (Named("other"), 1e-9)).propose(context_of(REAL))
    assert (free.proposer, free.usage) == ("other", COST)
    dear = hybrid((failing, 1.0), (Named("other", usage=COST), 1e-9)).propose(context_of(REAL))
    assert dear.usage is not None
    assert (dear.usage.usd, dear.usage.tokens, dear.usage.requests) == (1.0, 220, ("r1", "r1"))
    with pytest.raises(ProposalFailed) as caught:
        hybrid((failing, 1.0), (Named("b", trouble=ProposalFailed("nor I", COST)), 1.0)).propose(context_of(REAL))
    assert caught.value.usage is not None
    assert caught.value.usage.usd == 1.0


def test_the_author_gives_the_lesson() -> None:
    mixture = hybrid((Reflecting("model"), 1), (Reflecting("second"), 1), (Named("silent"), 1))
    lessons = {
        n: mixture.reflect(context_of(REAL), closed(7, REAL, 1.6, proposer=n)) for n in ("second", "silent", "gone")
    }
    assert lessons == {"second": Lesson(text="second learnt of 7"), "silent": None, "gone": None}
    assert mixture.reflect(context_of(REAL), replace(closed(7, REAL, 1.6), proposal=None)) is None


def test_the_mixture_of_lab_toml() -> None:
    parts: Sequence[dict[str, object]] = [
        {"name": "optuna", "weight": 2, "options": {"sampler": "cma-es"}},
        {"name": "ablation", "weight": 0.5},
    ]
    mixture = load("hybrid", {"seed": 3, "lab": "/somewhere", "keys": KeySource(), "components": parts})
    assert mixture.name == "hybrid"
    assert set(names(mixture, 3)) <= {"optuna", "ablation"}
    assert load("hybrid", {}).propose(context_of(REAL)).proposer in ("optuna", "ablation")


def test_what_the_lab_says_no_component_can_unsay() -> None:
    model = {
        "name": "anthropic",
        "weight": 1.0,
        "options": {"model": "my-own", "base_url": "http://h", "usd_capped": False},
    }
    with pytest.raises(UserError, match="the price of my-own is not known"):
        load("hybrid", {"keys": KeySource(), "usd_capped": True, "components": [model]})


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([], "the option 'components' of the proposer hybrid is wrong"),
        ([{"name": "optuna"}], r"the option 'components.0.weight' of the proposer hybrid is wrong"),
        ([{"name": "optuna", "weight": 0}], r"the option 'components.0.weight' of the proposer hybrid is wrong"),
        ([{"name": "optuna", "weight": True}], r"the option 'components.0.weight' of the proposer hybrid is wrong"),
        ([{"name": "hybrid", "weight": 1}], r"a hybrid cannot be a component of a hybrid"),
        ([{"name": "optuna", "weight": 1, "x": 1}], r"the option 'components.0.x' of the proposer hybrid is unknown"),
        ([{"name": "optona", "weight": 1}], r"there is no proposer 'optona'"),
        ([{"name": "optuna", "weight": 1, "options": {"x": 1}}], r"the option 'x' of the proposer optuna is unknown"),
    ],
)
def test_mistakes_in_the_mixture_are_named(parts: list[dict[str, object]], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load("hybrid", {"components": parts})
