"""What all experiments say of the champion's literals, whoever proposed them: points of its search space with scores.

The space is the champion's, so the history is mapped onto it by name. A literal that the champion no longer has is
dropped. One that an older file did not have is given the champion's value: a new name usually stands for what was a
constant before. A value that the champion's range does not hold leaves its experiment out.

A change beyond the literals shifts the score of every point it carries. So each skeleton (the file without its
values) has an offset: what its first scored experiment differed by from the champion it was made of. Without it, ten
failed ideas of a model would say ten times that the champion's own literals are bad. A failure under a skeleton that
never scored says nothing of literals, and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.model import Experiment, TrialStatus
from daemon.proposers import moves
from daemon.proposers.literals import Block, Parameter, SpaceError, Value, read_block, read_space

LEAST_SHARED = 0.5  # of the champion's literals that an older file must have, to be a point of its space


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Values for every literal of the space, and the score; None when the run crashed, timed out or was invalid."""

    values: Mapping[str, Value]
    val_bpb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    block: Block
    val_bpb: float | None


def points(history: Iterable[Experiment], space: Sequence[Parameter], profile: str) -> list[Point]:
    """The experiments that ran, oldest first, as points of ``space``."""
    found = []
    for reading in _comparable(history, profile):
        values = _mapped(reading.block.space, space)
        if values is not None:
            found.append(Point(values=values, val_bpb=reading.val_bpb))
    return found


def values_of(experiment: Experiment, profile: str) -> dict[str, Value]:
    """The literals that an experiment ran with; none where its block cannot be read."""
    if experiment.proposal is None:
        return {}
    try:
        space = read_space(experiment.proposal.patch.train_py, profile, strict=False)
    except SpaceError:
        return {}
    return {p.name: p.value for p in space}


def score_of(experiment: Experiment) -> float | None:
    """Its score, if every one of its trials went well."""
    score = experiment.val_bpb
    sound = score is not None and math.isfinite(score) and all(t.status is TrialStatus.OK for t in experiment.trials)
    return score if sound else None


def is_risky(space: Sequence[Parameter], known: Sequence[Point], values: Mapping[str, Value]) -> bool:
    """Is the nearest point that was tried one that failed? Distance is Euclidean over the shares of the ranges."""
    failed = [point for point in known if point.val_bpb is None]
    if not failed:
        return False
    sound = [point for point in known if point.val_bpb is not None]
    nearest_failed = min(_distance(space, point.values, values) for point in failed)
    return all(_distance(space, point.values, values) > nearest_failed for point in sound)


def _distance(space: Sequence[Parameter], a: Mapping[str, Value], b: Mapping[str, Value]) -> float:
    return sum((moves.to_unit(p, a[p.name]) - moves.to_unit(p, b[p.name])) ** 2 for p in space)


def _comparable(history: Iterable[Experiment], profile: str) -> Iterator[_Reading]:
    """Scores as they would be under the first skeleton."""
    readings: dict[int, _Reading] = {}
    offsets: dict[str, float] = {}
    for experiment in history:
        reading = _read(experiment, profile)
        if reading is None:
            continue
        base = readings.get(experiment.champion) if experiment.champion is not None else None
        skeleton, score = reading.block.skeleton, reading.val_bpb
        if skeleton not in offsets:
            if score is None:
                continue
            offsets[skeleton] = score - base.val_bpb if base is not None and base.val_bpb is not None else 0.0
        at_first = _Reading(block=reading.block, val_bpb=None if score is None else score - offsets[skeleton])
        readings[experiment.number] = at_first
        yield at_first


def _read(experiment: Experiment, profile: str) -> _Reading | None:
    if experiment.proposal is None or not experiment.trials:
        return None
    try:
        block = read_block(experiment.proposal.patch.train_py, profile)
    except SpaceError:
        return None
    return _Reading(block=block, val_bpb=score_of(experiment))


def _mapped(old: Sequence[Parameter], space: Sequence[Parameter]) -> dict[str, Value] | None:
    there = {p.name: p.value for p in old}
    shared = sum(p.name in there for p in space)
    values = {p.name: there.get(p.name, p.value) for p in space}
    fits = shared >= LEAST_SHARED * len(space) and all(p.allows(values[p.name]) for p in space)
    return values if fits else None
