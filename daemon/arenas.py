"""Which arena the lab's work stands in: that of its newest experiment which was there to be decided on."""

from __future__ import annotations

from daemon.ledger import Ledger
from daemon.model import Experiment

LONG = "long"  # the proposer of a long run: an experiment of its own arena, which decides nothing


def current(ledger: Ledger) -> str | None:
    """The fingerprint of the arena; None where nothing was run yet."""
    return next((row.arena for row in reversed(ledger.summaries()) if row.proposer != LONG), None)


def champion(ledger: Ledger) -> Experiment | None:
    """The last experiment that was kept in it."""
    arena = current(ledger)
    return ledger.champion(arena) if arena else None
