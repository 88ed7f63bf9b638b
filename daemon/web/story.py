"""How an experiment went, in steps and in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.model import Experiment, TrialResult
from daemon.text import clean
from daemon.web.words import between

MAX_STEPS = 60
_STEPS = {
    "opened": "opened",
    "usage": "the provider was asked",
    "proposed": "proposed",
    "checked": "checked by the policies",
    "trial-started": "trial begun",
    "trial-result": "trial ended",
    "decided": "decided",
    "committed": "committed",
    "closed": "closed",
    "interrupted": "interrupted",
    "abandoned": "given up",
    "lesson": "lesson noted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event of the ledger, and the seconds since the one before it."""

    name: str
    at: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a trial: where it begins and how long it is, as shares of the longest trial, and in seconds."""

    name: str
    begin: float
    share: float
    seconds: float


def steps_of(story: Sequence[tuple[str, str]]) -> list[Step]:
    """The events in words."""
    before = None
    found = []
    for kind, at in story[:MAX_STEPS]:
        found.append(Step(name=_STEPS.get(kind, clean(kind, 40)), at=at, seconds=between(before, at)))
        before = at
    return found


def bars_of(experiment: Experiment) -> list[list[Part]]:
    """Each trial from its beginning: start-up, training, scoring, and what was left."""
    longest = max((_whole(trial) for trial in experiment.trials), default=0.0) or 1.0
    return [_parts(trial, longest) for trial in experiment.trials]


def _whole(trial: TrialResult) -> float:
    known = trial.startup_seconds + trial.train_wall_seconds + trial.score_seconds
    return max(trial.total_seconds, known)


def _parts(trial: TrialResult, longest: float) -> list[Part]:
    lengths = {
        "start-up": trial.startup_seconds,
        "training": trial.train_wall_seconds,
        "scoring": trial.score_seconds,
    }
    lengths["the rest"] = max(0.0, _whole(trial) - sum(lengths.values()))
    parts, begin = [], 0.0
    for name, seconds in lengths.items():
        share = seconds / longest
        if share > 0:
            parts.append(Part(name=name, begin=round(begin, 5), share=round(share, 5), seconds=seconds))
        begin += share
    return parts
