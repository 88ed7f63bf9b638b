"""The five-minute clock: when the data is released, how long is granted, and when time is up.

Pure: every method is told the time (seconds of one monotonic clock) and none reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox.interface import TimeRules

# A container seen alive this long after its deadline means that the host, not the candidate, overran the clock.
VOID_AFTER_SECONDS = 0.5


class Expiry(StrEnum):
    """Which limit ran out."""

    STARTUP = "startup"
    BUDGET = "budget"


@dataclass(slots=True)
class Clock:
    """The clock of one run. ``started_at`` is when the container was started."""

    rules: TimeRules
    started_at: float
    released_at: float | None = None
    charged_seconds: float = 0.0

    def release(self, now: float) -> float:
        """Start the budget and return the seconds granted.

        Start-up beyond what is free is charged. Idempotent: a second marker changes nothing.
        """
        if self.released_at is None:
            self.released_at = now
            spent = now - self.started_at
            free = self.rules.free_startup_seconds if self.rules.starts_at == "release" else 0.0
            self.charged_seconds = max(0.0, spent - free)
        return self.granted_seconds

    @property
    def granted_seconds(self) -> float:
        return max(0.0, self.rules.train_seconds - self.charged_seconds)

    @property
    def deadline(self) -> float:
        """When the container is killed, as things stand now."""
        if self.released_at is not None:
            return self.released_at + self.granted_seconds
        if self.rules.starts_at == "container":
            return self.started_at + self.rules.train_seconds
        return self.started_at + self.rules.startup_seconds

    def expired(self, now: float) -> Expiry | None:
        if now < self.deadline:
            return None
        unreleased_startup = self.released_at is None and self.rules.starts_at == "release"
        return Expiry.STARTUP if unreleased_startup else Expiry.BUDGET

    def startup_seconds(self, ended_at: float) -> float:
        return (self.released_at if self.released_at is not None else ended_at) - self.started_at

    def wall_seconds(self, ended_at: float) -> float:
        return ended_at - self.released_at if self.released_at is not None else 0.0
