"""The state machine of an experiment: which value may follow which, as pure functions of frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.model import Decision, Experiment, Lesson, Outcome, Phase, Proposal, TrialResult, Usage
from policies.interface import Verdict


class IllegalTransition(Exception):  # noqa: N818 - says what was tried, and is a bug of the caller
    """A value that may not follow what the experiment already holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    """A trial is about to start with this seed, of the champion ``of`` or of the candidate itself."""

    seed: int
    of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A rival's result from an earlier experiment against the same champion, on the same seed: it is not run again."""

    result: TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Voided:
    """The trial that was started cannot be compared with others, by no fault of its program: it does not count."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The holdout was looked at for a champion: bits per byte there. Nobody who proposes may ever read it."""

    holdout_bpb: float
    val_bpb: float
    sealed_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The experiment is a commit under ``refs/experiments/<n>``."""

    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The experiment ended without a decision, by no fault of the candidate."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """A person gave the experiment up: it ended without a decision, and is not taken up again."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Too good to be kept before a person has looked at it: it ended without a decision, and waits for one."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Git is in line with the decision; nothing follows."""


Value = (
    Usage
    | Proposal
    | Verdict
    | TrialStarted
    | TrialResult
    | Lent
    | Voided
    | Outcome
    | Committed
    | Interrupted
    | Abandoned
    | Quarantined
    | Lesson
    | Looked
)
FINAL = frozenset({Phase.CLOSED, Phase.INTERRUPTED, Phase.ABANDONED, Phase.QUARANTINED})
_UNDECIDED = frozenset({Phase.OPENED, Phase.PROPOSED, Phase.CHECKED, Phase.TRAINING, Phase.SCORED})

_AFTER = {
    Usage: frozenset(Phase),  # money is spent whatever became of the experiment
    Lesson: frozenset({Phase.CLOSED}),
    Looked: frozenset({Phase.CLOSED}),
    Proposal: frozenset({Phase.OPENED}),
    Verdict: frozenset({Phase.PROPOSED}),
    TrialStarted: frozenset({Phase.CHECKED, Phase.SCORED}),
    TrialResult: frozenset({Phase.TRAINING}),
    Lent: frozenset({Phase.SCORED}),
    Voided: frozenset({Phase.TRAINING}),
    Outcome: frozenset({Phase.CHECKED, Phase.SCORED}),
    Committed: frozenset({Phase.DECIDED}),
    Closed: frozenset({Phase.DECIDED}),
    Interrupted: _UNDECIDED,
    Abandoned: _UNDECIDED,
    Quarantined: frozenset({Phase.SCORED}),
}


def advance(experiment: Experiment, value: Value | Closed, at: str) -> Experiment:
    """Return ``experiment`` with ``value`` added at the time ``at``.

    Raises:
        IllegalTransition: ``value`` may not come now.
    """
    if experiment.phase not in _AFTER[type(value)]:
        raise _refusal(experiment, value, f"it is {experiment.phase.value}")
    match value:
        case Usage():
            return replace(experiment, usages=(*experiment.usages, value))
        case Lesson():
            return replace(experiment, lesson=value.text)
        case Proposal():
            return replace(experiment, proposal=value, phase=Phase.PROPOSED)
        case Verdict():
            return replace(experiment, verdict=value, phase=Phase.CHECKED)
        case TrialStarted():
            return _start(experiment, value)
        case TrialResult():
            return _score(experiment, value)
        case Lent():
            if value.result.of is None or value.result.lent_by is None:
                raise _refusal(experiment, value, "it does not say whose run it was")
            return _score(experiment, value.result)
        case Voided():
            phase = Phase.SCORED if experiment.trials else Phase.CHECKED
            return replace(experiment, phase=phase, events=(*experiment.events, f"trial voided: {value.reason}"))
        case Outcome():
            return _decide(experiment, value)
        case Committed():
            return _commit(experiment, value)
        case Interrupted():
            return _end(experiment, Phase.INTERRUPTED, value.reason, at)
        case Abandoned():
            return _end(experiment, Phase.ABANDONED, value.reason, at)
        case Quarantined():
            return _end(experiment, Phase.QUARANTINED, value.reason, at)
        case Looked():
            return _look(experiment, value)
        case Closed():
            return _close(experiment, value, at)


def _end(experiment: Experiment, phase: Phase, reason: str, at: str) -> Experiment:
    return replace(experiment, phase=phase, events=(*experiment.events, f"{phase.value}: {reason}"), closed_at=at)


def _start(experiment: Experiment, value: TrialStarted) -> Experiment:
    if not _allowed(experiment):
        raise _refusal(experiment, value, "its verdict refuses it")
    if value.of is not None and (value.of != experiment.champion or not experiment.trials):
        raise _refusal(experiment, value, f"experiment {value.of} is not the champion it is compared with")
    whose = f" of champion {value.of}" if value.of is not None else ""
    events = (*experiment.events, f"trial{whose} started with seed {value.seed}")
    return replace(experiment, phase=Phase.TRAINING, events=events)


def _score(experiment: Experiment, value: TrialResult) -> Experiment:
    if value.of is None:
        return replace(experiment, trials=(*experiment.trials, value), phase=Phase.SCORED)
    if value.of != experiment.champion or not experiment.trials:
        raise _refusal(experiment, value, f"experiment {value.of} is not the champion it is compared with")
    return replace(experiment, rivals=(*experiment.rivals, value), phase=Phase.SCORED)


def _look(experiment: Experiment, value: Looked) -> Experiment:
    """It changes nothing: whoever is handed an experiment must find no trace of it there."""
    if experiment.decision is not Decision.KEEP:
        raise _refusal(experiment, value, "the holdout is for what is kept")
    return experiment


def _decide(experiment: Experiment, value: Outcome) -> Experiment:
    refused = value.decision is Decision.REFUSED
    if refused == _allowed(experiment):
        raise _refusal(experiment, value, "an experiment is refused exactly when its verdict refuses it")
    if not refused and not experiment.trials:
        raise _refusal(experiment, value, "it had no trial")
    if value.decision is Decision.KEEP and experiment.val_bpb is None:
        raise _refusal(experiment, value, "it has no score to be kept for")
    return replace(experiment, outcome=value, phase=Phase.DECIDED)


def _commit(experiment: Experiment, value: Committed) -> Experiment:
    if experiment.commit is not None:
        raise _refusal(experiment, value, f"it already is commit {experiment.commit}")
    return replace(experiment, commit=value.commit)


def _close(experiment: Experiment, value: Closed, at: str) -> Experiment:
    if experiment.decision is Decision.KEEP and experiment.commit is None:
        raise _refusal(experiment, value, "it is kept but not committed")
    return replace(experiment, phase=Phase.CLOSED, closed_at=at)


def _allowed(experiment: Experiment) -> bool:
    return experiment.verdict is not None and experiment.verdict.allowed


def _refusal(experiment: Experiment, value: object, why: str) -> IllegalTransition:
    return IllegalTransition(f"experiment {experiment.number} cannot take a {type(value).__name__}: {why}")
