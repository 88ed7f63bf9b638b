"""A mixture by weight: a model for ideas, an optimiser for numbers, ablations for what was kept by luck.

Who proposes follows from the number of experiments in the arena and the seed alone: the multiples of the golden
ratio, modulo 1, fall into the weights' shares so evenly that even a short night has each component's part, and a
restart goes on where it was. Nobody catches up on turns it has lost. Everybody is given the same context, so the
optimiser is told of every result, and searches the literals of whatever the champion has become.

A component that cannot propose now (nothing left, nothing usable, its provider out of reach, a champion whose block
it cannot read) hands over to the others for this proposal, the heaviest first, and the log says so; what its attempt
cost goes onto the account of the proposal that is made. Only when none can does the hybrid fail, and then as the
worst of them did: with a fault of ours, so that the loop backs off, before an end. A proposal carries the name of
the component that made it; that one is asked for the lesson, too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from daemon.ahead import together
from daemon.model import Experiment, Lesson, OurFault, Proposal, Usage
from daemon.proposers.interface import (
    GIVEN,
    Context,
    NothingToPropose,
    Options,
    ProposalFailed,
    Proposer,
    Reflects,
    load,
    parse,
)
from daemon.proposers.literals import SpaceError
from daemon.text import clean

NAME = "hybrid"
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_log = logging.getLogger(__name__)


class ComponentOptions(BaseModel):
    """One ``[[proposer.options.components]]``: a proposer's name, its share, and its own options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    options: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _no_hybrid(cls, name: str) -> str:
        if name == NAME:
            raise ValueError("a hybrid cannot be a component of a hybrid")
        return name

    @field_validator("weight", mode="before")
    @classmethod
    def _whole_numbers_too(cls, weight: object) -> object:
        return float(weight) if isinstance(weight, int) and not isinstance(weight, bool) else weight


WITHOUT_A_MODEL = (
    ComponentOptions(name="optuna", weight=0.85),
    ComponentOptions(name="ablation", weight=0.15),
)


class HybridOptions(Options):
    """``[proposer.options]`` for ``name = "hybrid"``. Without ``components``: the optimiser and ablations, no model."""

    components: Annotated[tuple[ComponentOptions, ...], Field(min_length=1, max_length=16, strict=False)] = (
        WITHOUT_A_MODEL
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A proposer and its weight."""

    proposer: Proposer
    weight: float


def build(options: Mapping[str, object]) -> HybridProposer:
    """Raises: UserError, as :func:`daemon.proposers.interface.load` of each component does."""
    parsed = parse(NAME, HybridOptions, options)
    given = {name: getattr(parsed, name) for name in GIVEN}
    components = [
        Component(proposer=load(part.name, {"seed": parsed.seed, **part.options, **given}), weight=part.weight)
        for part in parsed.components
    ]
    return HybridProposer(components, parsed.seed)


class HybridProposer:
    """Asks the component whose turn it is, then the others."""

    def __init__(self, components: Sequence[Component], seed: int = 1) -> None:
        self._components = tuple(components)
        self._seed = seed

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Return the proposal of the first component, in this turn's order, that has one.

        Raises:
            OurFault: none has, and a provider was out of reach.
            ProposalFailed: none has, and one gave nothing usable.
            NothingToPropose: all are at their end.
            UserError: a component found a mistake that only a person can mend.
        """
        failures: list[Exception] = []
        spent: Usage | None = None
        for component in self._order(context):
            try:
                proposal = component.proposer.propose(context)
            except (ProposalFailed, NothingToPropose, OurFault, SpaceError) as failure:
                say = _log.info if isinstance(failure, NothingToPropose) else _log.warning
                say("%s hands over: %s", component.proposer.name, clean(str(failure), 300))
                failures.append(failure)
                spent = together(spent, failure.usage if isinstance(failure, ProposalFailed) else None)
            else:
                return replace(proposal, usage=together(spent, proposal.usage))
        raise _worst(failures, spent)

    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        """The lesson of the component that proposed the experiment, if it gives any."""
        author = experiment.proposal.proposer if experiment.proposal is not None else ""
        for component in self._components:
            if component.proposer.name == author and isinstance(component.proposer, Reflects):
                return component.proposer.reflect(context, experiment)
        return None

    def _order(self, context: Context) -> list[Component]:
        """The component whose turn it is, then the others, the heaviest first."""
        phase = Random(f"{self._seed}:{context.rng_seed}").random()  # noqa: S311 - a search, not a secret
        turn = len(context.history) + len(context.pending)
        ends = list(accumulate(component.weight for component in self._components))
        place = (phase + turn * GOLDEN_RATIO) % 1.0 * ends[-1]
        at = next((index for index, end in enumerate(ends) if place < end), len(ends) - 1)
        others = [component for index, component in enumerate(self._components) if index != at]
        return [self._components[at], *sorted(others, key=lambda component: -component.weight)]


def _worst(failures: Sequence[Exception], spent: Usage | None) -> Exception:
    for kind in (OurFault, ProposalFailed, SpaceError, NothingToPropose):
        found = next((failure for failure in failures if isinstance(failure, kind)), None)
        if isinstance(found, ProposalFailed):
            return ProposalFailed(str(found), spent)
        if found is not None:
            return found
    return NothingToPropose("no component has anything to propose")
