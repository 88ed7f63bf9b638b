"""Searches the literals of the champion's hyperparameter block by a classical optimiser. Needs no key and no network.

A night has 5 to 100 experiments, far too few for random points in a space of twenty literals. So it stays near the
champion: first single literals are moved by a step that can show in one run, and what helped is moved further; then
a sampler suggests values from all that was scored, whoever proposed it: TPE for one to three literals at a time,
CMA-ES for all of them. It keeps no state: the sampler is made anew from the ledger at every proposal, so a restart
changes nothing. The sampler "random" draws from the whole ranges from the start; it is there to compare with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from random import Random
from typing import Annotated

from pydantic import Field

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Patch, Proposal
from daemon.proposers import moves, samplers
from daemon.proposers.interface import Context, NothingToPropose, Options, parse
from daemon.proposers.literals import read_space, rewrite
from daemon.proposers.observations import Point, is_risky, points, values_of
from daemon.proposers.ranges import Parameter, Value, same
from daemon.text import clean

NAME = "optuna"
MAX_SUGGESTIONS = 30  # asked of the sampler for one proposal before giving up on it
MAX_MOVED = 3
WHY = {
    "tpe": "suggested by TPE from {} scores",
    "cma-es": "suggested by CMA-ES from {} scores",
    "random": "drawn at random",
}
_NOTE_CHARACTERS = 80


class OptunaOptions(Options):
    """``[proposer.options]`` for ``name = "optuna"``. ``startup_trials``: experiments before the sampler takes over.

    ``sampler`` is "tpe", "cma-es" or "random"; the last begins at once.
    """

    startup_trials: Annotated[int, Field(ge=0, le=10_000)] = 24
    sampler: samplers.Sampler = "tpe"


def build(options: Mapping[str, object]) -> OptunaProposer:
    return OptunaProposer(parse(NAME, OptunaOptions, options))


class OptunaProposer:
    """Single moves around the champion, then what a sampler suggests."""

    def __init__(self, options: OptunaOptions) -> None:
        self._options = options

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Return a program that was not tried in this arena yet.

        Raises:
            SpaceError: the champion's block cannot be searched; the message names the line.
            NothingToPropose: every program within reach was tried.
        """
        search = _Search(context, self._options)
        for values, why in search.candidates():
            train_py = rewrite(context.train_py, context.profile, values)
            if hashlib.sha256(train_py).hexdigest() not in search.tried:
                return Proposal(
                    hypothesis=_hypothesis(search.space, values, why),
                    patch=Patch(train_py=train_py, base_commit=context.base_commit),
                    proposer=NAME,
                )
        raise NothingToPropose("every step from the champion was tried; widen the ranges in train.py")


Candidate = tuple[dict[str, Value], str]


class _Search:
    """One proposal's view of the history."""

    def __init__(self, context: Context, options: OptunaOptions) -> None:
        self._context, self._options = context, options
        # A person wrote the baseline, and is told what is wrong with it; what a proposer wrote is taken as it is.
        strict = context.champion.champion is None
        self.space = read_space(context.train_py, context.profile, strict=strict)
        self._learning = [p for p in self.space if not moves.is_technical(p)] or list(self.space)
        patches = [e.proposal.patch for e in (*context.history, *context.pending) if e.proposal is not None]
        self.tried = {patch.sha256 for patch in patches} | {hashlib.sha256(context.train_py).hexdigest()}

    @cached_property
    def _known(self) -> list[Point]:
        return points(self._context.history, self.space, self._context.profile)

    def candidates(self) -> Iterator[Candidate]:
        """Values for the champion's literals, the best idea first; the caller skips programs that were tried."""
        if self._options.sampler != "random":
            yield from self._onward()
            if len(self._context.history) - 1 < self._options.startup_trials:
                yield from self._single(unseen=True)
        yield from self._suggested()
        yield from self._single(unseen=True)
        yield from self._single(unseen=False)

    def _onward(self) -> Iterator[Candidate]:
        """What helped, once more; of many literals that moved at once, nothing says which one helped."""
        further = list(moves.onward(self.space, self._values_before_champion()))
        if len(further) <= MAX_MOVED:
            for move in further:
                yield {move.parameter.name: move.to}, "one step further the way that just helped"

    def _single(self, unseen: bool) -> Iterator[Candidate]:
        """Steps of one literal; with ``unseen`` those not tried from any champion, and not where runs failed."""
        rng = Random(f"{self._seed}:{self._context.champion.number}")  # noqa: S311 - a search, not a secret
        for move in moves.one_by_one(self.space, rng):
            if not (unseen and self._is_known_or_risky(move)):
                yield {move.parameter.name: move.to}, "one step from the champion"

    def _is_known_or_risky(self, move: moves.Move) -> bool:
        name = move.parameter.name
        if any(same(point.values[name], move.to) for point in self._known):
            return True
        return is_risky(self.space, self._known, {p.name: p.value for p in self.space} | {name: move.to})

    def _values_before_champion(self) -> Mapping[str, Value]:
        parent = next((e for e in self._context.history if e.number == self._context.champion.champion), None)
        return values_of(parent, self._context.profile) if parent is not None else {}

    @property
    def _seed(self) -> str:
        return f"{self._options.seed}:{self._context.rng_seed}"

    def _suggested(self) -> Iterator[Candidate]:
        """The sampler's values, and why; the champion's for what memory alone decides."""
        at_random = self._options.sampler == "random"
        scores = 0 if at_random else sum(point.val_bpb is not None for point in self._known)
        if not (scores or at_random):
            return
        turn = len(self._context.history) + len(self._context.pending)
        rng = Random(f"{self._seed}:{turn}")  # noqa: S311 - a search, not a secret
        draws = self._drawn(rng.getrandbits(31))
        for values in islice(draws, MAX_SUGGESTIONS):
            chosen = self._few_and_near(values, rng) if self._options.sampler == "tpe" else self._changed(values)
            if chosen:
                yield chosen, WHY[self._options.sampler].format(scores)

    def _drawn(self, seed: int) -> Iterator[dict[str, Value]]:
        if self._options.sampler == "random":
            return samplers.at_random(self._learning, seed)
        draw = samplers.tpe if self._options.sampler == "tpe" else samplers.cma_es
        return draw(self._learning, self._known, seed)

    def _few_and_near(self, wanted: Mapping[str, Value], rng: Random) -> dict[str, Value]:
        """One to three of the values, no farther from the champion than a neighbourhood."""
        count = rng.randint(1, MAX_MOVED)
        values = {p.name: moves.near(p, wanted[p.name]) for p in rng.sample(self._learning, len(self._learning))}
        far = {p.name for p in self._learning if moves.moved(p, values[p.name])}
        return dict(islice(((name, value) for name, value in values.items() if name in far), count))

    def _changed(self, values: Mapping[str, Value]) -> dict[str, Value]:
        old = {p.name: p.value for p in self._learning}
        return {name: value for name, value in values.items() if not same(value, old[name])}


def _hypothesis(space: Sequence[Parameter], values: Mapping[str, Value], why: str) -> str:
    moved = [p for p in space if p.name in values]
    steps = [f"{p.name} {p.spell(p.value)} → {p.spell(values[p.name])}" for p in moved]
    if len(steps) > MAX_MOVED:
        return clean(f"{why}: {', '.join(steps)}", MAX_HYPOTHESIS_CHARACTERS)
    note = f" ({clean(moved[0].note, _NOTE_CHARACTERS)})" if len(moved) == 1 and moved[0].note else ""
    wide = [p.name for p in moved if p.stretched]
    stretched = f"; stretched to hold the champion's value: the range of {', '.join(wide)}" if wide else ""
    return clean(f"{', '.join(steps)}: {why}{note}{stretched}", MAX_HYPOTHESIS_CHARACTERS)
