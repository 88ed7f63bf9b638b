"""What a lab is at, for who looks on from outside: its ledger, and what the running process says of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon import control, cost
from daemon.cost import Spent
from daemon.lab import Lab
from daemon.lifecycle import at_work
from daemon.model import Decision, Summary
from daemon.text import clean

LIVE = "live.json"
MAX_LIVE_BYTES = 64 * 1024
Text = Annotated[str, Field(max_length=2000)]
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ClaimedNow(BaseModel):
    """What the log of the training says; see :class:`daemon.observe.Claimed`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: Annotated[int, Field(ge=0)]
    loss: Finite
    tokens_per_second: Finite


class Live(BaseModel):
    """``.autoresearch/live.json``, which the running process keeps. ``phase_since`` is in Unix time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int | None = None
    phase: Text = ""
    phase_since: Finite = 0.0
    phase_seconds: Finite = 0.0
    hypothesis: Text = ""
    paused: bool = False
    waiting: Text | int | bool | None = None
    claimed: ClaimedNow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What the process is at. ``limit_seconds`` is 0 where the phase has no end of its own."""

    state: str
    number: int | None = None
    about: str = ""
    for_seconds: float = 0.0
    limit_seconds: float = 0.0
    paused: bool = False
    claimed: ClaimedNow | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """Changes when something begins or ends."""
        return self.state, self.number, self.paused


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A lab now. ``rows`` are the experiments of the newest arena; ``doing`` is None where nothing runs."""

    name: str
    branch: str
    rows: Sequence[Summary]
    spent: Spent
    waiting: int
    doing: Doing | None

    @property
    def champion(self) -> Summary | None:
        return next((row for row in reversed(self.rows) if row.decision is Decision.KEEP), None)

    @property
    def bests(self) -> list[float]:
        """The best score after each experiment that was decided."""
        found: list[float] = []
        for row in self.rows:
            if row.decision is Decision.KEEP and row.val_bpb is not None:
                found.append(row.val_bpb)
            elif row.decision is not None and found:
                found.append(found[-1])
        return found

    def count(self, *decisions: Decision) -> int:
        return sum(row.decision in decisions for row in self.rows)


class Onlooker:
    """Looks at one lab again and again; the ledger is read anew only when it has grown."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._events = -1
        self._rows: Sequence[Summary] = ()
        self._every: Sequence[Summary] = ()

    def look(self) -> Present:
        """Raises LedgerError."""
        lab = self._lab
        with lab.ledger() as ledger:
            if (events := ledger.events()) != self._events:
                self._every = ledger.summaries()
                arena = self._every[-1].arena if self._every else ""
                self._rows = [row for row in self._every if row.arena == arena]
                self._events = events
        return Present(
            name=clean(lab.directory.name, 60),
            branch=f"autoresearch/{lab.settings.tag}",
            rows=self._rows,
            spent=cost.spent(self._every, datetime.now(UTC).strftime("%Y-%m-%d")),
            waiting=sum(1 for _ in lab.inbox.waiting()),
            doing=doing(lab),
        )


def doing(lab: Lab) -> Doing | None:
    """What runs in the lab: by its file, by its socket, by its ledger, whichever says something."""
    if not at_work(lab.state):
        return None
    live = read_live(lab.state / LIVE)
    if live is not None and live.phase:
        return _of_live(live)
    said = control.situation(lab.control_socket)
    if said is None:
        return Doing(state="at work")
    return Doing(
        state=clean(str(said["state"]), 40),
        number=said["experiment"],
        about=clean(str(said["reason"] or said["hypothesis"]), 300),
        for_seconds=float(said["for_seconds"]),
        limit_seconds=float(said["seconds"] or 0.0),
        paused=bool(said["paused"]),
    )


def read_live(path: Path) -> Live | None:
    """The file, checked; None where there is none, or where it is of another form."""
    try:
        with path.open("rb") as file:
            return Live.model_validate(json.loads(file.read(MAX_LIVE_BYTES)))
    except (OSError, ValueError, ValidationError):
        return None


def _of_live(live: Live) -> Doing:
    return Doing(
        state=clean(live.phase, 40),
        number=live.number,
        about=clean(live.hypothesis, 300),
        for_seconds=max(0.0, time.time() - live.phase_since) if live.phase_since else 0.0,
        limit_seconds=live.phase_seconds,
        paused=live.paused,
        claimed=live.claimed if live.phase == "training" else None,
    )
