"""What a report says, as values; texts in them are cleaned already, and still to be escaped by whoever writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.cost import Spent
from daemon.ledger import Look
from daemon.model import Arena, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """From the best score before the time that is reported to the best one now, in bits per byte."""

    before_bpb: float | None
    now_bpb: float | None
    sigma_bpb: float | None
    experiments: int
    kept: int

    @property
    def gain_bpb(self) -> float | None:
        return self.before_bpb - self.now_bpb if self.before_bpb is not None and self.now_bpb is not None else None

    @property
    def gain_sigmas(self) -> float | None:
        return sigmas(self.gain_bpb, self.sigma_bpb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a patch changed: lines added and taken away, and the first of them as a diff."""

    added: int
    removed: int
    lines: Sequence[str]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An experiment that was kept. A baseline has nothing that it gained on."""

    number: int
    hypothesis: str
    reason: str
    proposer: str
    val_bpb: float | None
    gain_bpb: float | None
    gain_sigmas: float | None
    runs: Sequence[float]
    commit: str
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Experiments that ended alike: how many, and the newest of them."""

    what: str
    count: int
    last: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of the time that is reported, by what they went into. ``outside`` is what no trial had."""

    wall: float
    startup: float
    training: float
    scoring: float
    handling: float
    outside: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which no experiment was open, in seconds, from one moment (ISO 8601) on."""

    since: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What went wrong that was no candidate's doing, and what the referee found."""

    trials: int
    voided: int
    interrupted: Sequence[Group]
    abandoned: int
    invalid: int
    gaps: Sequence[Gap]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How the result can be checked."""

    champion: int | None
    commit: str
    branch: str
    chain_head: str
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it. ``since`` and ``until`` are ISO 8601 in UTC; ``rows`` are what was decided in between in the arena.

    ``next`` holds the notebook's sections on what to try, as a heading and its lines. ``holdout`` are all looks of this
    arena, for people alone.
    """

    lab: str
    since: str
    until: str
    headline: Headline
    rows: Sequence[Summary]
    kept: Sequence[Kept]
    failed: Sequence[Group]
    taken_out: Sequence[Kept]
    cost: Spent
    times: Times
    reliability: Reliability
    holdout: Sequence[Look]
    arena: Arena
    other_arenas: int
    provenance: Provenance
    next: Sequence[tuple[str, Sequence[str]]]


def sigmas(gain_bpb: float | None, sigma_bpb: float | None) -> float | None:
    """A gain in standard deviations of one run's score; None where either is not known."""
    return gain_bpb / sigma_bpb if gain_bpb is not None and sigma_bpb else None
