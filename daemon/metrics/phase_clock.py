"""How long the loop has been in each of its phases. One thread moves it, any thread may ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import StrEnum


class LoopPhase(StrEnum):
    """What the loop is at. Idle is all that is none of the others: checks, git, the ledger."""

    IDLE = "idle"
    PROPOSING = "proposing"
    QUEUED = "queued"  # for this machine's GPU, cores or memory, which other labs have
    STARTING = "starting"
    TRAINING = "training"
    SCORING = "scoring"
    WAITING = "waiting"  # after a fault, before the next try
    PAUSED = "paused"


IN_A_TRIAL = frozenset({LoopPhase.STARTING, LoopPhase.TRAINING, LoopPhase.SCORING})


class PhaseClock:
    """Adds up wall seconds by phase."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(LoopPhase, 0.0)
        self._phase, self._since = LoopPhase.IDLE, clock()

    @property
    def phase(self) -> LoopPhase:
        return self._phase

    def enter(self, phase: LoopPhase) -> None:
        """The present phase ends now."""
        with self._lock:
            self._seconds = self._until_now()
            self._phase, self._since = phase, self._clock()

    def seconds(self) -> Mapping[LoopPhase, float]:
        """Of each phase so far, the present one included."""
        with self._lock:
            return self._until_now()

    def _until_now(self) -> dict[LoopPhase, float]:
        lasted = max(0.0, self._clock() - self._since)
        return {**self._seconds, self._phase: self._seconds[self._phase] + lasted}


def outside_trials(seconds: Mapping[LoopPhase, float]) -> float:
    return sum(spent for phase, spent in seconds.items() if phase not in IN_A_TRIAL)
