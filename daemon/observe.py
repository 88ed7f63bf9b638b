"""Events for whoever watches: terminal, journal, metrics, plug-ins. Watching never stops the loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.model import Experiment, FaultKind, TrialResult, Usage

log = logging.getLogger("autoresearchd")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered:
    """An experiment entered a phase that may take up to ``seconds``."""

    number: int
    phase: str
    seconds: float
    hypothesis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAwaited:
    """An experiment waits for its turn on this machine; ``ahead`` come before it. Told again when that changes."""

    number: int | None
    reason: str
    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTaken:
    """The wait is over: nobody else that asks has this machine's GPU, cores and memory now."""

    number: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """Something else on this machine makes a trial unlike others: its score should not be compared."""

    number: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSeen:
    """The end of a training's log as it is now, hostile text. Told at most once a second, by a thread of its own."""

    number: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What the last progress line of a training says of it. The program that trains wrote it; nobody checked.

    ``loss`` is in nats a token. Told at most once a second, by a thread of its own.
    """

    number: int
    step: int
    loss: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnded:
    """A trial has its result, which is on the ledger. A trial that a fault of ours ended has none."""

    number: int
    result: TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialVoided:
    """A trial does not count, by no fault of its program, and is run again."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A candidate is too good to be kept before a person has looked at it."""

    experiment: Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutSeen:
    """A champion was scored on the holdout; for people alone. ``left`` looks may still be taken."""

    number: int
    holdout_bpb: float
    val_bpb: float
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people should know, and that stops nothing."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseKnown:
    """What one run's score varies by over seeds, standard deviation in bits per byte, from so many runs."""

    sigma_bpb: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalAwaited:
    """The loop waits for the proposer; nothing trains meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalMade:
    """The wait is over. ``seconds`` is what the proposer took, some of it perhaps while an experiment trained."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCharged:
    """A provider was asked, and this is on the ledger as its bill. Told by any thread."""

    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentClosed:
    """An experiment ended. ``champion_bpb`` is the best score before it, None for a baseline."""

    experiment: Experiment
    champion_bpb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSeen:
    """The service, not a candidate, failed; the loop will try again after ``retry_seconds`` or give up at None."""

    message: str
    retry_seconds: float | None
    kind: FaultKind = FaultKind.SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a start found left over from a process that was killed."""

    finished: Sequence[int]
    interrupted: Sequence[int]
    reaped: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The loop waits, by rule and not by fault, until ``reason`` holds no more."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChanged:
    """A new program.md is in force, from the next proposal on."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRefused:
    """program.md was changed to something that cannot be used; the last good one stays in force."""

    reason: str


Event = (
    PhaseEntered
    | SlotAwaited
    | SlotTaken
    | Disturbed
    | LogSeen
    | Claimed
    | TrialEnded
    | TrialVoided
    | Withheld
    | HoldoutSeen
    | NoiseKnown
    | Notice
    | ProposalAwaited
    | ProposalMade
    | ProviderCharged
    | ExperimentClosed
    | FaultSeen
    | Recovered
    | Paused
    | ProgramChanged
    | ProgramRefused
)


class Observer(Protocol):
    """Somebody who watches."""

    def notify(self, event: Event) -> None: ...


class Observers:
    """Tells everybody; one that fails is logged and told again next time."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)

    def join(self, observer: Observer) -> None:
        """Tell one more, from now on."""
        self._observers.append(observer)

    def notify(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.notify(event)
            except Exception:  # an observer is decoration: whatever is wrong with it, the loop goes on
                log.exception("an observer failed on %s", type(event).__name__)
