"""Is the lab stuck, and what kind of change should come next? Pure, over the ledger's summaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from daemon.model import Decision, Summary

PLATEAU_AFTER = 8


class Boldness(StrEnum):
    """The kind of change that is asked for."""

    STEADY = "steady"
    BOLDER = "bolder"
    COMBINE = "combine"
    ABLATE = "ablate"


_ASKED_IN_TURN = (Boldness.BOLDER, Boldness.COMBINE, Boldness.ABLATE)
_SIMPLER = "Simplification counts: an equal score with fewer lines is a success."
_REQUEST = {
    Boldness.STEADY: "",
    Boldness.BOLDER: "Propose a bolder kind of change, unlike the last ones.",
    Boldness.COMBINE: "Combine two near misses that touch different parts.",
    Boldness.ABLATE: "Take one piece of the champion away and see what it was worth.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """How many decided experiments in a row brought no gain, and what is asked for because of it."""

    without_gain: int
    boldness: Boldness

    @property
    def sentence(self) -> str:
        """For the brief."""
        if self.boldness is Boldness.STEADY:
            state = (
                f"{self.without_gain} experiments since the last gain."
                if self.without_gain
                else "The last one was a gain."
            )
        else:
            state = f"Plateau: {self.without_gain} in a row without a gain. {_REQUEST[self.boldness]}"
        return f"{state} {_SIMPLER}"


def plateau(rows: Iterable[Summary], after: int = PLATEAU_AFTER) -> Plateau:
    """Count back to the last gain; from ``after`` on, ask for each kind of change in turn, one an experiment.

    What the policies refused never ran, and what was interrupted was not decided: neither counts.
    """
    count = 0
    for row in reversed(list(rows)):
        if row.decision is Decision.KEEP:
            break
        count += row.decision is not None and row.decision is not Decision.REFUSED
    if count < max(1, after):
        return Plateau(without_gain=count, boldness=Boldness.STEADY)
    return Plateau(without_gain=count, boldness=_ASKED_IN_TURN[(count - max(1, after)) % len(_ASKED_IN_TURN)])
