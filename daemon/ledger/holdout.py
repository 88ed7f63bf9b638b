"""The looks at the holdout. They are read from their events alone: nothing that a proposer is shown is made of them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The scores of one champion's sealed model in bits per byte: on the holdout, and on the validation rows."""

    number: int
    arena: str
    at: str
    holdout_bpb: float
    val_bpb: float

    @property
    def gap_bpb(self) -> float:
        """How much worse it does where nobody has selected; more is worse."""
        return self.holdout_bpb - self.val_bpb


def read(db: sqlite3.Connection) -> list[Look]:
    """All of them, oldest first."""
    rows = db.execute(
        "SELECT events.experiment, experiments.arena, events.at, events.payload FROM events "
        "JOIN experiments ON experiments.number = events.experiment WHERE events.kind = 'holdout' ORDER BY events.seq"
    )
    return [_look(*row) for row in rows]


def _look(number: int, arena: str, at: str, payload: str) -> Look:
    scores = json.loads(payload)
    return Look(number=number, arena=arena, at=at, holdout_bpb=scores["holdout_bpb"], val_bpb=scores["val_bpb"])
