"""What a lab is at, for who looks on from outside: its ledger, and what the running process says of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon import arenas, control, cost
from daemon import live as live_file
from daemon.cost import Spent
from daemon.lab import Lab
from daemon.lifecycle import at_work
from daemon.live import Claim, Live
from daemon.model import Decision, Summary
from daemon.text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What the process is at. ``limit_seconds`` is 0 where the phase has no end of its own."""

    state: str
    number: int | None = None
    about: str = ""
    for_seconds: float = 0.0
    limit_seconds: float = 0.0
    paused: bool = False
    claimed: Claim | None = None

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
                arena = arenas.current(ledger)
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
    live = live_file.read(lab.state / live_file.FILE, time.time())
    if live is not None:
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


def _of_live(live: Live) -> Doing:
    return Doing(
        state=clean(live.phase, 40),
        number=live.number,
        about=clean(live.waiting or live.hypothesis, 300),
        for_seconds=max(0.0, time.time() - live.phase_since) if live.phase_since else 0.0,
        limit_seconds=live.phase_seconds,
        paused=live.paused,
        claimed=live.claimed,
    )
