"""Events as JSON lines for a journal: what, when, which experiment, which phase."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TextIO, assert_never

from daemon.observe import (
    Claimed,
    Disturbed,
    Event,
    ExperimentClosed,
    FaultSeen,
    HoldoutSeen,
    LogSeen,
    NoiseKnown,
    Notice,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProgramRefused,
    ProposalAwaited,
    ProposalMade,
    ProviderCharged,
    Recovered,
    SlotAwaited,
    SlotTaken,
    TrialEnded,
    TrialVoided,
    Withheld,
)
from daemon.text import clean


class JournalObserver:
    """Writes one line an event to ``stream``, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._experiment: int | None = None
        self._phase = ""

    def notify(self, event: Event) -> None:
        match event:
            case LogSeen() | Claimed():
                return  # a line a second would bury the others
            case PhaseEntered():
                self._experiment, self._phase = event.number, event.phase
                facts: dict[str, object] = {"seconds": event.seconds, "hypothesis": clean(event.hypothesis, 300)}
            case ExperimentClosed():
                facts = _closed(event)
                self._experiment, self._phase = event.experiment.number, "closed"
            case FaultSeen():
                facts = {"message": clean(event.message, 500), "retry_seconds": event.retry_seconds}
            case Recovered():
                facts = {"finished": list(event.finished), "interrupted": list(event.interrupted)}
                facts["reaped"] = len(event.reaped)
            case Paused() | ProgramRefused() | Disturbed() | TrialVoided():
                facts = {"reason": clean(event.reason, 500)}
            case ProgramChanged():
                facts = {"sha256": event.sha256}
            case SlotAwaited():
                self._experiment, self._phase = event.number, "queued"
                facts = {"reason": clean(event.reason, 500), "ahead": event.ahead}
            case SlotTaken():
                facts = {"seconds": event.seconds}
            case TrialEnded():
                trial = event.result
                facts = {"status": trial.status, "val_bpb": trial.val_bpb, "seconds": trial.total_seconds}
            case Withheld():
                facts = {"withheld": event.experiment.number, "gain_bpb": event.experiment.gain_bpb}
            case Notice():
                facts = {"message": clean(event.message, 500)}
            case NoiseKnown():
                facts = {"sigma_bpb": event.sigma_bpb, "runs": event.runs}
            case HoldoutSeen():
                facts = {"looked_at": event.number, "holdout_bpb": event.holdout_bpb, "left": event.left}
            case ProposalAwaited():
                facts = {}
            case ProposalMade():
                facts = {"seconds": event.seconds}
            case ProviderCharged():
                facts = {"model": event.usage.model, "tokens": event.usage.tokens, "usd": event.usage.usd}
            case _:
                assert_never(event)
        self._write(type(event).__name__, facts)

    def _write(self, event: str, facts: dict[str, object]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "event": event, "experiment": self._experiment, "phase": self._phase, **facts}
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()


def _closed(event: ExperimentClosed) -> dict[str, object]:
    experiment = event.experiment
    return {
        "decision": experiment.decision,
        "val_bpb": experiment.val_bpb,
        "champion_bpb": event.champion_bpb,
        "reason": clean(experiment.outcome.reason, 500) if experiment.outcome else "",
        "hypothesis": clean(experiment.hypothesis, 300),
    }
