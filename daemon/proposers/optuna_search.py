"""The embedded default: searches the literals of the champion's hyperparameter block. Needs no key and no network.

A night has 5 to 100 experiments, far too few for random points in a space of twenty literals. So it stays near the
champion: first single literals are moved by a step that can show in one run, and what helped is moved further; then
TPE (optuna) suggests values from all that was scored, for one to three literals at a time. It keeps no state: the
study is made anew from the ledger at every proposal, so a restart changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Annotated

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Experiment, Patch, Proposal, TrialStatus
from daemon.proposers import moves
from daemon.proposers.interface import Context, NothingToPropose, Options, parse
from daemon.proposers.literals import Parameter, SpaceError, Value, read_space, rewrite
from daemon.text import clean

NAME = "optuna"
MAX_SUGGESTIONS = 30  # asked of TPE for one proposal before giving up on it
MAX_MOVED = 3
_NOTE_CHARACTERS = 80


class OptunaOptions(Options):
    """``[proposer.options]`` for ``name = "optuna"``. ``startup_trials``: experiments before TPE takes over."""

    startup_trials: Annotated[int, Field(ge=0, le=10_000)] = 24


def build(options: Mapping[str, object]) -> OptunaProposer:
    return OptunaProposer(parse(NAME, OptunaOptions, options))


class OptunaProposer:
    """Single moves around the champion, then TPE in its neighbourhood."""

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
        search = _Search(context, f"{self._options.seed}:{context.rng_seed}")
        for values, why in search.candidates(self._options.startup_trials):
            train_py = rewrite(context.train_py, context.profile, values)
            if hashlib.sha256(train_py).hexdigest() not in search.tried:
                return Proposal(
                    hypothesis=_hypothesis(search.space, values, why),
                    patch=Patch(train_py=train_py, base_commit=context.base_commit),
                    proposer=NAME,
                )
        raise NothingToPropose("every step from the champion was tried; widen the ranges in train.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observation:
    """One experiment as a point: its literals, and its score, None when it crashed, timed out or was invalid."""

    values: Mapping[str, Value]
    val_bpb: float | None


Candidate = tuple[dict[str, Value], str]


class _Search:
    """One proposal's view of the history."""

    def __init__(self, context: Context, seed: str) -> None:
        self._context, self._seed = context, seed
        self.space = read_space(context.train_py, context.profile)
        patches = [e.proposal.patch for e in context.history if e.proposal is not None]
        self.tried = {patch.sha256 for patch in patches} | {hashlib.sha256(context.train_py).hexdigest()}

    @cached_property
    def observations(self) -> list[_Observation]:
        read = (_observe(experiment, self._context.profile) for experiment in self._context.history)
        return [observation for observation in read if observation is not None]

    def candidates(self, startup_trials: int) -> Iterator[Candidate]:
        """Values for the champion's literals, the best idea first; the caller skips programs that were tried."""
        yield from self._onward()
        if len(self._context.history) - 1 < startup_trials:
            yield from self._single(unseen=True)
        yield from self._suggested()
        yield from self._single(unseen=True)
        yield from self._single(unseen=False)

    def _onward(self) -> Iterator[Candidate]:
        before = self._values_before_champion()
        for move in moves.onward(self.space, before):
            if not self._seen(move):
                yield {move.parameter.name: move.to}, "one step further, as the last step that way was a gain"

    def _single(self, *, unseen: bool) -> Iterator[Candidate]:
        for move in moves.one_by_one(self.space, Random(self._seed)):  # noqa: S311 - a search, not a secret
            if not (unseen and self._seen(move)):
                yield {move.parameter.name: move.to}, "one step from the champion"

    def _seen(self, move: moves.Move) -> bool:
        """Did an experiment use this value already? After a change elsewhere it is hardly news."""
        return any(o.values.get(move.parameter.name) == move.to for o in self.observations)

    def _values_before_champion(self) -> Mapping[str, Value]:
        numbers = {experiment.number: experiment for experiment in self._context.history}
        parent = numbers.get(self._context.champion.champion) if self._context.champion.champion is not None else None
        observation = _observe(parent, self._context.profile) if parent else None
        return observation.values if observation else {}

    def _suggested(self) -> Iterator[Candidate]:
        """TPE's values for a few literals at a time; the champion's for the rest."""
        known = [o for o in self.observations if self._covers(o)]
        scores = [o.val_bpb for o in known if o.val_bpb is not None]
        if not scores:
            return
        rng = Random(f"{self._seed}:{len(self._context.history)}")  # noqa: S311 - a search, not a secret
        study = _study(self.space, known, seed=rng.getrandbits(31))
        for _ in range(MAX_SUGGESTIONS):
            suggestion = _ask(study, self.space)
            wanted = rng.randint(1, MAX_MOVED)
            values = {p.name: moves.near(p, suggestion[p.name]) for p in rng.sample(self.space, len(self.space))}
            far = {p.name: values[p.name] for p in self.space if moves.moved(p, values[p.name])}
            chosen = [name for name in values if name in far][:wanted]
            if chosen:
                yield {name: far[name] for name in chosen}, f"suggested by TPE from {len(scores)} scores"

    def _covers(self, observation: _Observation) -> bool:
        return all(p.name in observation.values and p.allows(observation.values[p.name]) for p in self.space)


def _observe(experiment: Experiment, profile: str) -> _Observation | None:
    """The experiment as a point; None when it never ran, or its block cannot be read."""
    if experiment.proposal is None or not experiment.trials:
        return None
    try:
        space = read_space(experiment.proposal.patch.train_py, profile)
    except SpaceError:
        return None
    score = experiment.val_bpb
    sound = all(t.status is TrialStatus.OK for t in experiment.trials) and score is not None and math.isfinite(score)
    return _Observation(values={p.name: p.value for p in space}, val_bpb=score if sound else None)


def _study(space: Sequence[Parameter], known: Sequence[_Observation], seed: int) -> optuna.Study:
    """A study in memory that knows all observations; failures count as worse than the worst score."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=0)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    scores = [o.val_bpb for o in known if o.val_bpb is not None]
    failed = max(scores) + max(max(scores) - min(scores), 0.1)
    distributions = {p.name: _distribution(p) for p in space}
    for observation in known:
        study.add_trial(
            optuna.trial.create_trial(
                params={p.name: _encode(p, observation.values[p.name]) for p in space},
                distributions=distributions,
                value=observation.val_bpb if observation.val_bpb is not None else failed,
            )
        )
    return study


def _ask(study: optuna.Study, space: Sequence[Parameter]) -> dict[str, Value]:
    trial = study.ask({p.name: _distribution(p) for p in space})
    study.tell(trial, state=optuna.trial.TrialState.FAIL)  # only asked for its values: no sampler counts it
    return {p.name: _decode(p, trial.params[p.name]) for p in space}


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.kind == "choice":
        if _ordered(parameter):
            return IntDistribution(0, len(parameter.choices) - 1)
        return CategoricalDistribution(range(len(parameter.choices)))
    if parameter.kind == "int":
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.kind == "log")


def _ordered(parameter: Parameter) -> bool:
    """Choices that rise are steps on a scale: what is learned of one tells something of its neighbours."""
    numbers = [c for c in parameter.choices if isinstance(c, int | float) and not isinstance(c, bool)]
    return len(numbers) == len(parameter.choices) and numbers == sorted(numbers)


def _encode(parameter: Parameter, value: Value) -> Value:
    return moves.choice_index(parameter, value) if parameter.kind == "choice" else value


def _decode(parameter: Parameter, value: Value) -> Value:
    return parameter.choices[int(value)] if parameter.kind == "choice" else value


def _hypothesis(space: Sequence[Parameter], values: Mapping[str, Value], why: str) -> str:
    moved = [p for p in space if p.name in values]
    steps = ", ".join(f"{p.name} {p.spell(p.value)} → {p.spell(values[p.name])}" for p in moved)
    note = f" ({clean(moved[0].note, _NOTE_CHARACTERS)})" if len(moved) == 1 and moved[0].note else ""
    return clean(f"{steps}: {why}{note}", MAX_HYPOTHESIS_CHARACTERS)
