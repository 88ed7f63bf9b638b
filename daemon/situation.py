"""What a running loop is at, for whoever asks while it runs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from daemon.observe import Event, ExperimentClosed, FaultSeen, Paused, PhaseEntered, ProposalAwaited, SlotAwaited
from daemon.text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """``state``: "starting", "proposing", "queued", a phase of a trial, "between two experiments", "waiting", "outage".

    ``experiment`` is the number of what is being tried, ``ahead`` how many labs come before it. ``since`` is a
    monotonic second, ``seconds`` how long the phase may take, 0 when that is open.
    """

    state: str = "starting"
    reason: str = ""
    experiment: int | None = None
    hypothesis: str = ""
    since: float = 0.0
    seconds: float = 0.0
    ahead: int = 0


class Watcher:
    """An observer that keeps the situation. Read and written by different threads: each swaps one whole value."""

    def __init__(self) -> None:
        self._now = Situation(since=time.monotonic())
        self._decided = 0

    def notify(self, event: Event) -> None:
        at = time.monotonic()
        match event:
            case PhaseEntered():
                self._now = Situation(
                    state=event.phase,
                    experiment=event.number,
                    hypothesis=clean(event.hypothesis, 200),
                    since=at,
                    seconds=event.seconds,
                )
            case SlotAwaited():
                since = self._now.since if self._now.state == "queued" else at
                self._now = Situation(
                    state="queued",
                    reason=clean(event.reason, 300),
                    experiment=event.number,
                    since=since,
                    ahead=event.ahead,
                )
            case ExperimentClosed():
                self._decided += 1
                self._now = Situation(state="between two experiments", since=at)
            case ProposalAwaited():
                self._now = Situation(state="proposing", since=at)
            case Paused():
                self._now = Situation(state="waiting", reason=clean(event.reason, 300), since=at)
            case FaultSeen():
                self._now = Situation(
                    state="outage", reason=clean(event.message, 300), since=at, seconds=event.retry_seconds or 0.0
                )
            case _:
                pass

    def facts(self) -> dict[str, object]:
        """For JSON; ``for_seconds`` is how long it has been so, ``since`` the same as a time of day."""
        now = self._now
        lasted = time.monotonic() - now.since
        since = datetime.fromtimestamp(time.time() - lasted, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        facts = asdict(replace(now, hypothesis=clean(now.hypothesis, 200), reason=clean(now.reason, 300)))
        return {**facts, "since": since, "for_seconds": lasted, "decided": self._decided}
