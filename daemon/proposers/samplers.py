"""Three ways to draw the next point from those that are known: TPE, CMA-ES, and at random. Heavy imports are lazy.

Each is made anew from the points at every proposal and draws with its own seed, so a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Literal

from daemon.proposers import moves
from daemon.proposers.observations import Point, is_risky
from daemon.proposers.ranges import Parameter, Value

if TYPE_CHECKING:
    import numpy
    import optuna
    from cmaes import CMAwM
    from optuna.distributions import BaseDistribution

Sampler = Literal["tpe", "cma-es", "random"]
Values = dict[str, Value]
SIGMA = 0.15  # the first step of CMA-ES, in ranges: with more, nearly every point of a well-tuned start is worse
POPULATION = 8  # a generation: small, for a night has few
REACH = 1.0  # a told point farther than this from the mean, in ranges, is told as if it were at this distance
MAX_RESAMPLED = 50


def at_random(space: Sequence[Parameter], seed: int) -> Iterator[Values]:
    """Anywhere in the ranges."""
    rng = Random(seed)  # noqa: S311 - a search, not a secret
    while True:
        yield {p.name: _anywhere(p, rng) for p in space}


def _anywhere(parameter: Parameter, rng: Random) -> Value:
    count = moves.grid(parameter)
    return moves.from_unit(parameter, rng.randrange(count) / max(1, count - 1) if count else rng.random())


def tpe(space: Sequence[Parameter], known: Sequence[Point], seed: int) -> Iterator[Values]:
    """Where the ratio of good to other points is high. What failed breaks a constraint, so it is never among the good.

    Needs a point with a score.
    """
    import optuna

    told = study(space, known, seed)
    distributions = {p.name: _distribution(p) for p in space}
    while True:
        trial = told.ask(distributions)
        told.tell(trial, state=optuna.trial.TrialState.FAIL)  # only asked for its values: no sampler counts it
        yield {p.name: _decode(p, trial.params[p.name]) for p in space}


def study(space: Sequence[Parameter], known: Sequence[Point], seed: int) -> optuna.Study:
    """A study in memory that knows all points."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=0)
    told = optuna.create_study(sampler=sampler, direction="minimize")
    told.add_trials([_frozen(point, score, space) for point, score in zip(known, _ranked(known), strict=True)])
    return told


def _ranked(known: Sequence[Point]) -> list[float]:
    """The scores; a failure counts as worse than the worst."""
    scores = [point.val_bpb for point in known if point.val_bpb is not None]
    failed = max(scores) + max(max(scores) - min(scores), 0.1)
    return [failed if point.val_bpb is None else point.val_bpb for point in known]


def _frozen(point: Point, score: float, space: Sequence[Parameter]) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        params={p.name: _encode(p, point.values[p.name]) for p in space},
        distributions={p.name: _distribution(p) for p in space},
        value=score,
        constraints={"ran": 1.0 if point.val_bpb is None else 0.0},
    )


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.kind == "choice":
        last = len(parameter.choices) - 1
        return IntDistribution(0, last) if parameter.ordered else CategoricalDistribution(range(last + 1))
    if parameter.kind == "int":
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.kind == "log")


def _encode(parameter: Parameter, value: Value) -> Value:
    return moves.choice_index(parameter, value) if parameter.kind == "choice" else value


def _decode(parameter: Parameter, value: Value) -> Value:
    return parameter.choices[int(value)] if parameter.kind == "choice" else value


def cma_es(space: Sequence[Parameter], known: Sequence[Point], seed: int) -> Iterator[Values]:
    """From the Gaussian that all generations so far have shaped, all literals at once.

    The points are told in the order they ran, so many a generation, whoever proposed them: external solutions may be
    injected into CMA-ES when their steps are bounded (Hansen 2011, arXiv 1110.4181). A failure ranks last in its
    generation, and a draw whose nearest known point failed is drawn again. Integers and choices are steps with a
    margin, so that they go on moving (Hamano et al. 2022, arXiv 2205.13482). Needs a point.
    """
    import numpy
    from cmaes import CMAwM

    free = [p for p in space if moves.grid(p) != 1]
    optimiser = CMAwM(
        mean=_vector(free, known[0].values),
        sigma=SIGMA,
        bounds=numpy.array([[0.0, 1.0]] * len(free)),
        steps=numpy.array([1 / (count - 1) if (count := moves.grid(p)) else 0.0 for p in free]),
        population_size=POPULATION,
        seed=seed,
    )
    told = [(_vector(free, point.values), score) for point, score in zip(known, _ranked(known), strict=True)][1:]
    for at in range(0, len(told) - POPULATION + 1, POPULATION):
        optimiser.tell([(_within_reach(x, optimiser.mean), score) for x, score in told[at : at + POPULATION]])
    while True:
        yield _drawn(optimiser, free, known)


def _vector(space: Sequence[Parameter], values: Mapping[str, Value]) -> numpy.ndarray:
    import numpy

    return numpy.array([moves.to_unit(p, values[p.name]) for p in space])


def _within_reach(x: numpy.ndarray, mean: numpy.ndarray) -> numpy.ndarray:
    distance = float(((x - mean) ** 2).sum() ** 0.5)
    return x if distance <= REACH else mean + (x - mean) * (REACH / distance)


def _drawn(optimiser: CMAwM, free: Sequence[Parameter], known: Sequence[Point]) -> Values:
    for _ in range(MAX_RESAMPLED):
        x, _raw = optimiser.ask()
        values = {p.name: moves.from_unit(p, float(unit)) for p, unit in zip(free, x, strict=True)}
        if not is_risky(free, known, values):
            break
    return values
